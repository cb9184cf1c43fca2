"""``${…}`` of OmegaConf, filled in from the same document."""

from __future__ import annotations

from typing import Any

import pytest

from catalogdb.resolve.interpolation import interpolated


@pytest.mark.parametrize(
    ("document", "filled"),
    [
        ({"a": 1, "b": "${a}"}, {"a": 1, "b": 1}),
        ({"a": {"x": 0.5}, "b": {"y": "${a.x}"}}, {"a": {"x": 0.5}, "b": {"y": 0.5}}),
        ({"a": {"x": 1, "y": "${.x}"}}, {"a": {"x": 1, "y": 1}}),
        ({"a": {"x": {"y": "${..z}"}, "z": 2}}, {"a": {"x": {"y": 2}, "z": 2}}),
        ({"a": "x", "b": "${a}/${a}.ckpt"}, {"a": "x", "b": "x/x.ckpt"}),
        ({"a": ["p", "q"], "b": "${a[1]}"}, {"a": ["p", "q"], "b": "q"}),
        ({"a": "${b}", "b": "${c}", "c": True}, {"a": True, "b": True, "c": True}),
        ({"a": "${now:%Y}", "b": "${a}", "c": "${missing}"}, {"a": "${now:%Y}", "b": "${a}", "c": "${missing}"}),
        ({"a": {"x": 1}, "b": "${a}"}, {"a": {"x": 1}, "b": "${a}"}),
        ({"a": "${b}", "b": "${a}"}, {"a": "${b}", "b": "${a}"}),
    ],
)
def test_filled_in(document: dict[str, Any], filled: dict[str, Any]) -> None:
    assert interpolated(document) == filled


def test_sections_that_lead_to_the_same_are_shared() -> None:
    paths = {"root": "/data", "logs": "${.root}/logs"}
    logger = {"save_dir": "${paths.logs}", "name": "${exp_name}"}
    first, again, other = (interpolated({"exp_name": name, "paths": paths, "logger": logger}) for name in "aab")
    assert first["paths"] is again["paths"] is other["paths"]
    assert first["logger"] is again["logger"]
    assert first["logger"] == {"save_dir": "/data/logs", "name": "a"}
    assert other["logger"] == {"save_dir": "/data/logs", "name": "b"}


def test_a_section_is_filled_anew_where_what_it_leads_to_differs() -> None:
    logger = {"save_dir": "${paths.logs}"}
    found = [interpolated({"paths": {"logs": logs}, "logger": logger})["logger"] for logs in ("x", "y")]
    found.append(interpolated({"logger": logger})["logger"])
    assert found == [{"save_dir": "x"}, {"save_dir": "y"}, {"save_dir": "${paths.logs}"}]


def test_a_section_without_any_is_the_very_same() -> None:
    section = {"lr": 0.1}
    assert interpolated({"model": section, "x": "${model.lr}"})["model"] is section
