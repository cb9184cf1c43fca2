"""The views say what checkpoints say, and the best of each experiment is the one that ``best`` finds."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from catalogdb.query.parse import parse_filter, parse_ident
from catalogdb.query.rank import compile_rank
from catalogdb.records import FIELD_NAMES, Checkpoint
from catalogdb.store.engine import ReadingConnection
from catalogdb.store.reader import Reader
from tests.unit.query.world import Filler, Row

LARGE = 2**70


def row(number: int, exp_name: str | None, mode: str = "max", **settings: Any) -> Row:
    known = {"exp_name": exp_name, "monitor": "score", "monitor_mode": mode, "global_step": number}
    root = settings.pop("root", "/data")
    path = f"{root.rstrip('/')}/e/{number}.ckpt"
    return Row(number, path, root=root, fields={**known, **settings.pop("fields", {})}, **settings)


ROWS = [
    row(1, "up", metrics={"score": 0.5}, fields={"config_path": "e/config.yaml"}),
    row(2, "up", metrics={"score": math.inf}, fields={"config_path": "/etc/config.yaml"}),
    row(3, "up", metrics={"score": 0.75, "other": math.nan}, link_target="e/1.ckpt", note="good"),
    row(4, "up", run_metrics={"score": 0.75}, link_target="/elsewhere/x.ckpt"),
    row(5, "down", "min", metrics={"score": -math.inf}, params={"lr": 0.1, "on": True, "none": None, "big": LARGE}),
    row(6, "down", "min", metrics={"score": 2.0}, num_parameters=10, stale=True),
    row(7, "down", "min", metrics={"score": 1.0}, state="missing"),
    row(8, "down", "min", metrics={"score": 0.5}, state="truncated"),
    row(9, None, metrics={"score": 9.0}, root="/", fields={"config_path": "e/config.yaml", "claims": "best"}),
    row(10, "none", metrics={"score": math.nan}),
    row(11, "tied", metrics={"score": 1.0}),
    row(12, "tied", metrics={"score": 1.0}),
    Row(
        13,
        "/runs/checkpoint-5",
        root="/runs/checkpoint-5",
        fields={"exp_name": "whole", "monitor": "score", "monitor_mode": "max", "config_path": "config.json"},
        metrics={"score": 1.0},
        params={"whole": True},
    ),
]


@pytest.fixture
def reader(database: ReadingConnection) -> Reader:
    Filler(database).add(ROWS)
    return Reader(database)


def view(reader: Reader, name: str) -> list[dict[str, Any]]:
    result = reader.execute_readonly(f"SELECT * FROM {name}")
    return [dict(zip(result.columns, values, strict=True)) for values in result.rows]


def known(reader: Reader) -> dict[int, Checkpoint]:
    ids = [each.id for each in ROWS if each.state != "missing"]
    return {checkpoint.id: checkpoint for checkpoint in reader.load(ids)}


def test_the_overview_has_the_fields_of_checkpoints(reader: Reader) -> None:
    checkpoints = known(reader)
    overview = view(reader, "checkpoint_overview")
    assert [each["id"] for each in overview] == list(checkpoints)
    plain = {field.name for field in fields(Checkpoint)} & overview[0].keys()
    assert plain >= {"path", "config_path", "link_target", "note", "state", *FIELD_NAMES}
    for each in overview:
        checkpoint = checkpoints[each["id"]]
        assert {name: each[name] for name in plain} == {name: getattr(checkpoint, name) for name in plain}
        assert each["num_parameters"] == (checkpoint.weights.num_parameters if checkpoint.weights else None)


def test_paths_are_absolute(reader: Reader) -> None:
    found = {each["id"]: each for each in view(reader, "checkpoint_overview")}
    assert [found[number]["config_path"] for number in (1, 2, 9)] == [
        "/data/e/config.yaml", "/etc/config.yaml", "/e/config.yaml",
    ]  # fmt: skip
    assert [found[number]["link_target"] for number in (1, 3, 4)] == [None, "/data/e/1.ckpt", "/elsewhere/x.ckpt"]


def test_metrics_and_params_are_those_of_checkpoints(reader: Reader) -> None:
    checkpoints = known(reader).values()
    metrics = {(each["path"], each["name"]): each["value"] for each in view(reader, "checkpoint_metrics")}
    assert metrics == {
        (each.path, name): None if math.isnan(value) else value
        for each in checkpoints
        for name, value in each.metrics.items()
    }
    params = {each["name"]: (each["path"], each["value"], each["type"]) for each in view(reader, "checkpoint_params")}
    path = "/data/e/5.ckpt"
    assert params == {
        "lr": (path, 0.1, "float"),
        "on": (path, 1, "bool"),
        "none": (path, None, "null"),
        "big": (path, str(LARGE), "int"),
        "whole": ("/runs/checkpoint-5", 1, "bool"),
    }


def test_the_best_of_each_experiment_is_what_best_finds(reader: Reader) -> None:
    best = view(reader, "best_checkpoints")
    assert [each["path"] for each in best] == [known(reader)[each["checkpoint_id"]].path for each in best]
    found = {each["exp_name"]: each["checkpoint_id"] for each in best}
    assert found == {"up": 3, "down": 6, "tied": 12, "whole": 13}
    for name, checkpoint_id in found.items():
        ways = compile_rank(
            "score",
            "min" if name == "down" else "max",
            parse_filter(f"exp_name = '{name}'"),
            names=reader.metric_ids(),
            per=parse_ident("exp_name"),
        )
        assert reader.ids(ways) == [checkpoint_id]
