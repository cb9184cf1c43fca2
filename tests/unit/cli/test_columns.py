"""Which columns a listing has."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalogdb.cli.columns import metrics_in, parse_columns, split_list, write_checkpoints
from catalogdb.errors import UsageError
from catalogdb.query.fields import FIELDS
from catalogdb.records import Checkpoint, Weights

METRICS = ["val/hmean", "val/loss", "a,b"]
ROW = Checkpoint(
    id=1,
    path="/srv/out/last.ckpt",
    root="/srv/out",
    rel_path="last.ckpt",
    format="torch_zip",
    size_bytes=10,
    mtime="2026-01-01T00:00:00+00:00",
    state="ready",
    source="yaml",
    stale=False,
    epoch=3,
    global_step=40,
    architecture="dbnet",
    monitor="val/hmean",
    metrics={"val/hmean": 0.5, "a,b": 2.0},
    params={"lr": 0.1, "optimizer.name": "adam", "a`b": 7},
    weights=Weights(num_parameters=3, num_tensors=1, dtypes={"float32": 3}, fingerprint="f"),
    tags={"good": None, "stage": "prod"},
)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("path", "path", "/srv/out/last.ckpt"),
        ("epoch", "epoch", 3),
        ("EPOCH", "epoch", 3),
        ("run_id", "wandb_run_id", None),
        ("`epoch`", "epoch", 3),
        ("metrics.val/hmean", "metrics.val/hmean", 0.5),
        ("metrics.`val/hmean`", "metrics.val/hmean", 0.5),
        ("metrics.val/loss", "metrics.val/loss", None),
        ("metrics.`a,b`", "metrics.a,b", 2.0),
        ('metrics."a,b"', "metrics.a,b", 2.0),
        ("params.`a``b`", "params.a`b", 7),
        ("params.lr", "params.lr", 0.1),
        ("params.optimizer.name", "params.optimizer.name", "adam"),
        ("params.nope", "params.nope", None),
        ("tags.good", "tags.good", True),
        ("tags.stage", "tags.stage", "prod"),
        ("tags.nope", "tags.nope", None),
        ("weights.fingerprint", "weights.fingerprint", "f"),
        ("provenance.epoch", "provenance.epoch", None),
        ("num_parameters", "num_parameters", 3),
        ("weights_fingerprint", "weights_fingerprint", "f"),
        ("metrics", "metrics", {"val/hmean": 0.5, "a,b": 2.0}),
    ],
)
def test_a_column(text: str, name: str, value: Any) -> None:
    (column,) = parse_columns(text, METRICS)
    assert (column.name, column.value(ROW)) == (name, value)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_a_column(name: str) -> None:
    (column,) = parse_columns(name, [])
    column.value(ROW)
    column.value(replace(ROW, weights=None))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epch", "-c: epch: no such column; did you mean epoch?"),
        ("val/hmean", "-c: val/hmean: no such column; did you mean metrics.val/hmean?"),
        ("metrics.val/hmeen", "-c: metrics.val/hmeen: no checkpoint has this metric; did you mean val/hmean?"),
        ("metrics.hmean", "-c: metrics.hmean: no checkpoint has this metric; did you mean val/hmean?"),
        ("weights.fingerprints", "-c: weights.fingerprints: no such column; did you mean fingerprint?"),
        ("zzz", "-c: zzz: no such column"),
        ("", "-c: names no column; write them with commas between, such as path,epoch,metrics.val/loss"),
        (" , ", "-c: names no column; write them with commas between, such as path,epoch,metrics.val/loss"),
    ],
)
def test_unknown_columns(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_columns(text, METRICS)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a,b", ["a", "b"]),
        (" a , b ,", ["a", "b"]),
        ("metrics.`a,b`, c", ["metrics.`a,b`", "c"]),
        ("metrics.`a``,b`, c", ["metrics.`a``,b`", "c"]),
        ('metrics."a,b" DESC,c', ['metrics."a,b" DESC', "c"]),
        ("", []),
    ],
)
def test_split_list(text: str, items: list[str]) -> None:
    assert split_list(text) == items


def test_metrics_in() -> None:
    assert metrics_in("metrics.`val/hmean` > 0.5 AND metrics.loss < 1", 'metrics."a b""c" DESC', "epoch") == [
        "val/hmean",
        "loss",
        'a b"c',
    ]


def listing(capfdbinary: pytest.CaptureFixture[bytes], rows: list[Checkpoint], *metrics: str) -> list[str]:
    write_checkpoints(rows, "table", columns=None, metrics=metrics, metric_names=lambda: METRICS, cwd=Path("/srv"))
    sys.stdout.flush()
    return capfdbinary.readouterr().out.decode().splitlines()


def test_a_table_shows_the_monitored_metric_and_paths_from_here(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    header, row, other = listing(capfdbinary, [ROW, replace(ROW, path="/other/x.pt")])
    assert header.split() == ["path", "epoch", "step", "val/hmean", "architecture", "exp_name", "source"]
    assert row.split() == ["out/last.ckpt", "3", "40", "0.5", "dbnet", "yaml"]
    assert other.startswith("/other/x.pt ")


def test_a_table_shows_the_metric_that_was_asked_for(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    header, row = listing(capfdbinary, [ROW], "a,b")
    assert "a,b" in header
    assert "2.0" in row


def test_a_table_of_several_monitors_names_each(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    header, row, other = listing(capfdbinary, [ROW, replace(ROW, monitor="a,b")])
    assert "monitored" in header
    assert "0.5 val/hmean" in row
    assert "2 a,b" in other


def test_a_state_is_shown_where_one_is_not_ready(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    header, _, other = listing(capfdbinary, [ROW, replace(ROW, state="truncated")])
    assert header.endswith("state")
    assert other.endswith("truncated")
