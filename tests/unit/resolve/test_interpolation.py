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
        ({"a": {"x": 1}, "b": "${a}"}, {"a": {"x": 1}, "b": {"x": 1}}),
        ({"a": {"x": [1, "${..y}"], "y": 2}, "b": "${a.x}"}, {"a": {"x": [1, 2], "y": 2}, "b": [1, 2]}),
        ({"a": {"x": 1}, "b": "is ${a}"}, {"a": {"x": 1}, "b": "is ${a}"}),
        ({"a": {"x": 1, "y": "${a}"}}, {"a": {"x": 1, "y": "${a}"}}),
        ({"a": "${b}", "b": "${a}"}, {"a": "${b}", "b": "${a}"}),
    ],
)
def test_filled_in(document: dict[str, Any], filled: dict[str, Any]) -> None:
    assert interpolated(document) == filled


ORACLE: list[dict[str, Any]] = [
    {"model": {"encoder": {"name": "resnet18", "lr": "${lr}"}}, "head": {"encoder": "${model.encoder}"}, "lr": 0.1},
    {"a": {"b": {"c": "${..d}", "e": "${.c}"}, "d": "${top}"}, "copy": "${a.b}", "top": True},
    {"sizes": [1, 2, "${n}"], "all": "${sizes}", "last": "${all[2]}", "n": 3, "one": "${sizes.0}"},
    {"x": "${y}", "y": "${z}", "z": {"w": ["${v}", {"u": "${v}"}]}, "v": "t", "text": "${v}-${z.w[0]}"},
]


@pytest.mark.parametrize("document", ORACLE)
def test_it_is_what_omegaconf_makes_of_it(document: dict[str, Any]) -> None:
    omegaconf = pytest.importorskip("omegaconf").OmegaConf
    filled = interpolated(document)
    expected = omegaconf.to_container(omegaconf.create(document), resolve=True)
    assert {name: value for name, value in filled.items() if name != "last"} == {
        name: value for name, value in expected.items() if name != "last"
    }
    assert filled.get("last") in (expected.get("last"), document.get("last")), "through another one, or not at all"


def test_mappings_that_stand_in_each_other_end() -> None:
    found = interpolated({"a": {"y": "${b}"}, "b": {"z": "${a}", "n": 1}})
    assert "${" in str(found["a"]["y"]["z"])
    assert found["a"]["y"]["n"] == 1


def test_what_doubles_at_each_step_is_bounded() -> None:
    document: dict[str, Any] = {f"n{n}": {"l": f"${{n{n + 1}}}", "r": f"${{n{n + 1}}}"} for n in range(15)}
    document["n15"] = {str(n): n for n in range(1000)}
    found = interpolated(document)
    assert len(repr(found["n0"])) < 1_000_000


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
