"""LIKE patterns that begin with more than a wildcard are read from a range of an index, and find what they match."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogdb.query.compile import compile_count, compile_search
from catalogdb.query.parse import parse_filter
from catalogdb.query.rank import compile_rank
from catalogdb.store.reader import Reader
from tests.unit.query.world import NOW, Row, reader_of

LAST, BEFORE_SURROGATES = "\U0010ffff", "\ud7ff"
PATHS = {
    "/": ["/x.ckpt", "/datum/x.ckpt", "/ä/x.ckpt"],
    "/data": ["/data/a/1.ckpt", "/data/a/2.ckpt", "/data/ab/1.ckpt", "/data/A/1.ckpt", f"/data/{LAST}/{LAST}.ckpt"],
    "/data2": ["/data2/a.ckpt", f"/data2/a{BEFORE_SURROGATES}/b.ckpt", "/data2/a\ue000.ckpt", "/data2/[a]*?.ckpt"],
    "/data3/checkpoint-5": ["/data3/checkpoint-5"],
}
ROWS = [
    Row(
        number,
        path,
        root=root,
        fields={"exp_name": path.split("/")[-2], "architecture": path[-6:]},
        metrics={"acc": number / 10},
    )
    for number, (root, path) in enumerate(((root, path) for root, paths in PATHS.items() for path in paths), 1)
]
BY_FIELD: dict[str, Callable[[Row], object]] = {
    "path": lambda row: row.path,
    "exp_name": lambda row: row.fields["exp_name"],
    "architecture": lambda row: row.fields["architecture"],
}


@pytest.fixture(scope="module")
def reader(template: sqlite3.Connection) -> Iterator[Reader]:
    with reader_of(template, ROWS) as reader:
        yield reader


def matching(field: str, pattern: str) -> list[int]:
    expression = re.compile(
        "".join({"%": ".*", "_": "."}.get(character, re.escape(character)) for character in pattern), re.DOTALL
    )
    return [row.id for row in ROWS if expression.fullmatch(str(BY_FIELD[field](row)))]


def assert_found(reader: Reader, field: str, pattern: str) -> None:
    quoted = pattern.replace("'", "''")
    filter, names = parse_filter(f"{field} LIKE '{quoted}'"), reader.metric_ids()
    expected = matching(field, pattern)
    for way in compile_search(filter, names=names, now=NOW):
        assert sorted(reader.ids([way])) == expected, way
    for way in compile_rank("acc", "max", filter, names=names, now=NOW):
        assert sorted(reader.ids([way])) == expected, way
    for way in compile_count(filter, names=names, now=NOW):
        assert reader.count([way]) == len(expected), way


texts = st.sampled_from([str(value(row)) for row in ROWS for value in BY_FIELD.values()])


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(BY_FIELD)), texts, st.integers(0, 30), st.sampled_from(["", "%", "_", "%t", "_%", "\ue000%"])
)
def test_what_begins_so_is_found(reader: Reader, field: str, text: str, length: int, rest: str) -> None:
    assert_found(reader, field, text[:length] + rest)


@pytest.mark.parametrize(
    "pattern", ["/data%", "/data/%", "/%", "//%", "/data2/a%", "/data3/checkpoint-5%", "data%", "/data/["]
)
def test_folders(reader: Reader, pattern: str) -> None:
    assert_found(reader, "path", pattern)


@pytest.mark.parametrize(
    ("text", "range_"),
    [
        ("path LIKE '/data/a/%'", "sqlite_autoindex_checkpoints_1 (root_id=? AND rel_path>? AND rel_path<?)"),
        ("path LIKE '/data/_'", "sqlite_autoindex_checkpoints_1 (root_id=? AND rel_path>? AND rel_path<?)"),
        ("exp_name LIKE 'a%'", "ix_checkpoints_exp_name (exp_name>? AND exp_name<?)"),
        ("architecture LIKE 'a%' AND epoch > 3", "ix_checkpoints_architecture (architecture>? AND architecture<?)"),
    ],
)
def test_a_range_of_an_index_is_read(reader: Reader, text: str, range_: str) -> None:
    names = reader.metric_ids()
    filter = parse_filter(text)
    for ways in (
        compile_count(filter, names=names, now=NOW),
        compile_search(filter, (), 10, names=names, now=NOW),
        compile_rank("acc", "max", filter, 10, names=names, now=NOW),
    ):
        plans = chain(*(reader._raw.execute(f"EXPLAIN QUERY PLAN {sql}", values) for sql, values in ways))
        assert any(range_ in row[3] for row in plans)
