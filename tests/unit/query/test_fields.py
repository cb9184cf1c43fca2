from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import fields

import pytest

from catalogdb.query.fields import FIELDS, find_field, near_names
from catalogdb.records import FIELD_NAMES, Checkpoint


def test_every_scalar_of_a_checkpoint_is_a_field() -> None:
    others = {"metrics", "params", "provenance", "weights", "tags", "aliases", "problems"}
    scalars = {field.name for field in fields(Checkpoint)} - others
    assert scalars <= FIELDS.keys()
    assert FIELDS.keys() - scalars == {"num_parameters", "num_tensors", "weights_fingerprint", "run"}
    assert set(FIELD_NAMES) <= FIELDS.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_every_expression_is_sql(database: sqlite3.Connection, name: str) -> None:
    field = FIELDS[name]
    roots = " JOIN roots r ON r.id = c.root_id"
    assert database.execute(f"SELECT {field.expression} FROM checkpoints c{roots}").fetchall() == []
    assert field.description


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("epoch", "epoch"),
        ("EPOCH", "epoch"),
        ("run_id", "wandb_run_id"),
        ("Run ID", "wandb_run_id"),
        ("run", "run"),
        ("size", "size_bytes"),
    ],
)
def test_find(name: str, field: str) -> None:
    found = find_field(name)
    assert found is not None
    assert found.name == field


def test_find_nothing() -> None:
    assert find_field("epohc") is None
    assert find_field("") is None


def test_near_names() -> None:
    assert near_names("epohc", FIELDS)[0] == "epoch"
    assert near_names("hmean", ["val/hmean", "loss", "val_hmean"]) == ["val/hmean", "val_hmean"]
    assert near_names("VAL/LOSS", ["val/loss"]) == ["val/loss"]
    assert near_names("zzz", FIELDS) == []


def test_the_registry_is_cheap_and_lark_waits_for_a_filter() -> None:
    script = (
        "import sys; from catalogdb.query import fields, parse, direction; parse.parse_filter(''); "
        "print([name for name in ('lark', 'sqlalchemy') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
