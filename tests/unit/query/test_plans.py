"""The plans that statements are written for: what drives, what needs sorting, with and without statistics."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest

from catalogdb.query.compile import compile_count, compile_search
from catalogdb.query.parse import parse_filter, parse_ident, parse_order
from catalogdb.query.plan import Statement, Ways, make_query
from catalogdb.query.rank import all_measured, compile_left_out, compile_rank
from catalogdb.query.tree import Filter
from catalogdb.store.reader import Reader
from tests.unit.query.world import NOW, Row, reader_of

ROWS = [
    Row(
        number,
        f"/data/{number % 7}/{number}.ckpt",
        fields={"exp_name": f"e{number % 7}", "architecture": "dbnet" if number % 3 else "rare", "global_step": number},
        metrics={"acc": number % 11 / 10, "loss": 1.0},
        params={"lr": 0.1 * (number % 2)},
        tags={"kept": None} if number % 50 == 0 else {},
    )
    for number in range(1, 301)
]


TINY = ("SCAN r", "SCAN o")
"""With statistics SQLite knows that a table has one row, and reads that."""


@pytest.fixture(scope="module", params=["no statistics", "analyzed"])
def reader(request: pytest.FixtureRequest, template: sqlite3.Connection) -> Iterator[Reader]:
    with reader_of(template, ROWS, analyzed=request.param == "analyzed") as reader:
        yield reader


def plan(reader: Reader, ways: Ways | Statement) -> list[str]:
    """The lines of the first way's plan, subqueries that belong to a row left out."""
    statement = ways if isinstance(ways, Statement) else ways[0]
    rows = reader._raw.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.parameters).fetchall()
    inner = {row[0] for row in rows if "SCALAR SUBQUERY" in row[3]}
    return [row[3] for row in rows if row[0] not in inner and row[1] not in inner]


def searched(reader: Reader, text: str, order: str = "", limit: int | None = 10) -> list[str]:
    names = reader.metric_ids()
    return plan(reader, compile_search(parse_filter(text), parse_order(order), limit, names=names, now=NOW))


def ranked(reader: Reader, text: str = "", per: str | None = None) -> list[str]:
    by = None if per is None else parse_ident(per)
    return plan(reader, compile_rank("acc", "max", parse_filter(text), 10, names=reader.metric_ids(), per=by, now=NOW))


def test_top_by_a_metric_walks_its_values(reader: Reader) -> None:
    first, *rest, last = ranked(reader)
    assert first.startswith("SEARCH m USING INDEX ix_metrics_by_value (name_id=? AND live=? AND value>? AND value<?)")
    assert re.fullmatch(r"USE TEMP B-TREE FOR (RIGHT PART|LAST \d TERMS) OF ORDER BY", last)
    assert all(line.startswith("SEARCH") or line.startswith(TINY) for line in rest)


def test_top_by_a_metric_of_an_architecture_walks_both(reader: Reader) -> None:
    for text in ("architecture = 'rare'", "architecture = 'rare' AND epoch >= 3 AND params.lr = 0.1"):
        first, *rest, last = ranked(reader, text)
        assert "ix_metrics_by_architecture (name_id=? AND live=? AND architecture=? AND value>? AND value<?)" in first
        assert re.fullmatch(r"USE TEMP B-TREE FOR (RIGHT PART|LAST \d TERMS) OF ORDER BY", last)
        assert all(line.startswith("SEARCH") or line.startswith(TINY) for line in rest)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("exp_name = 'e1'", "SEARCH c USING INDEX ix_checkpoints_exp_name (exp_name=?)"),
        ("exp_name = 'e1' OR run_name IN ('e2')", "SEARCH c USING INDEX ix_checkpoints_exp_name (exp_name=?)"),
        ("'kept' IN tags", "SEARCH u USING COVERING INDEX ix_tags_key (key=?)"),
        ("id = 7", "SEARCH c USING INTEGER PRIMARY KEY (rowid=?)"),
    ],
)
def test_few_rows_are_sorted_instead(reader: Reader, text: str, start: str) -> None:
    assert ranked(reader, text)[0] == start
    assert searched(reader, text)[0] == start


def all_lines(reader: Reader, statement: Statement) -> list[str]:
    rows = reader._raw.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.parameters)
    return [row[3] for row in rows.fetchall()]


@pytest.mark.parametrize(
    ("per", "first", "rows"),
    [
        ("exp_name", "ix_checkpoints_exp_name", "SEARCH c USING INDEX ix_checkpoints_exp_name (exp_name=?)"),
        (
            "architecture",
            "ix_checkpoints_architecture",
            "SEARCH m USING INDEX ix_metrics_by_architecture "
            "(name_id=? AND live=? AND architecture=? AND value>? AND value<?)",
        ),
    ],
)
def test_an_index_leads_from_group_to_group(reader: Reader, per: str, first: str, rows: str) -> None:
    way, _ = compile_rank(
        "acc", "max", parse_filter("epoch >= 0"), None, names=reader.metric_ids(), per=parse_ident(per), now=NOW
    )
    lines = all_lines(reader, way)
    assert sum(line.startswith("SEARCH checkpoints USING COVERING INDEX " + first) for line in lines) == 2
    assert lines.count(rows) == 1, lines
    assert not any(line.startswith(("SCAN c", "SCAN m")) for line in lines)


def test_groups_without_an_index_are_read_as_rows_lie(reader: Reader) -> None:
    lines = ranked(reader, "epoch >= 0", "params.lr")
    assert lines[0].startswith("CO-ROUTINE") or lines[0].startswith("SCAN c"), lines
    assert "SEARCH m USING PRIMARY KEY (checkpoint_id=? AND name_id=?)" in lines
    assert "SCAN c" in lines


@pytest.mark.parametrize(
    ("text", "drivers"),
    [
        ("", ["ix_metrics_by_value"]),
        ("architecture = 'dbnet'", ["ix_metrics_by_architecture"]),
        ("note IS NOT NULL", ["ix_metrics_by_value", "SCAN c"]),
        ("architecture = 'dbnet' AND note IS NOT NULL", ["ix_metrics_by_architecture", "SCAN c"]),
        ("params.lr = 0.1", ["ix_metrics_by_value", "ix_params_by_value", "SCAN c"]),
        ("metrics.loss < 1", ["SEARCH m USING INDEX ix_metrics_by_value", "SEARCH d USING COVERING INDEX", "SCAN c"]),
        ("metrics.acc > 0.5", ["SEARCH m USING INDEX ix_metrics_by_value", "SCAN c"]),
        ("exp_name = 'e1'", ["ix_checkpoints_exp_name", "ix_metrics_by_value"]),
        ("exp_name = 'e1' AND params.lr = 0.1", ["exp_name", "ix_metrics_by_value", "ix_params_by_value"]),
    ],
)
def test_where_nobody_knows_what_is_rare_there_are_several_ways(reader: Reader, text: str, drivers: list[str]) -> None:
    ways = compile_rank("acc", "max", parse_filter(text), 10, names=reader.metric_ids(), now=NOW)
    first = [plan(reader, way)[0] for way in ways]
    assert len(first) == len(drivers)
    assert all(driver in line for driver, line in zip(drivers, first, strict=True)), first


@pytest.mark.parametrize(
    ("text", "drivers"),
    [
        ("", ["ix_metrics_by_value"]),
        ("note IS NOT NULL", ["ix_metrics_by_value", "SCAN c"]),
        ("'kept' IN tags", ["ix_tags_key", "ix_metrics_by_value"]),
    ],
)
def test_an_ordering_by_a_metric_need_not_be_walked(reader: Reader, text: str, drivers: list[str]) -> None:
    order = parse_order("metrics.acc DESC")
    ways = compile_search(parse_filter(text), order, 10, names=reader.metric_ids(), now=NOW)
    assert len(ways) == len(drivers)
    for way, driver in zip(ways, drivers, strict=True):
        assert any(driver in line for line in all_lines(reader, way)), way


def test_a_path_is_looked_at_before_the_metric_is_looked_up(reader: Reader) -> None:
    way = compile_rank("acc", "max", parse_filter("path LIKE '%x%'"), 10, names=reader.metric_ids(), now=NOW)[-1]
    first, second, third, *_ = plan(reader, way)
    assert first == "SCAN c"
    assert second.startswith(("SEARCH r", TINY[0]))
    assert third.startswith("SEARCH m USING PRIMARY KEY")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", ["none"]),
        ("epoch > 3", ["none"]),
        ("exp_name = 'e1'", ["exp_name", "none"]),
        ("architecture = 'rare' AND metrics.acc > 0.5", ["metric", "architecture", "none"]),
    ],
)
def test_where_all_values_are_wanted_none_is_walked(reader: Reader, text: str, kinds: list[str]) -> None:
    names = reader.metric_ids()
    drivers = all_measured(make_query(parse_filter(text), names, NOW, ready=True), names["acc"])
    assert [driver.kind for driver in drivers] == kinds


def test_pages_start_where_the_last_one_ended(reader: Reader) -> None:
    names = reader.metric_ids()
    by_path = compile_search(Filter(), (), 10, names=names, now=NOW, after=["/data", "3/3.ckpt"])
    assert plan(reader, by_path)[1].endswith("(root_id=? AND rel_path>?)")
    order = parse_order("metrics.acc DESC")
    by_metric = compile_search(Filter(), order, 10, names=names, now=NOW, after=[0.5, "/data", "3/3.ckpt"])
    assert any("ix_metrics_by_value (name_id=? AND live=? AND value>? AND value<?)" in line
               for line in all_lines(reader, by_metric[0]))  # fmt: skip


def test_the_default_order_needs_no_sorting(reader: Reader) -> None:
    for text, order in [("", ""), ("epoch >= 3", ""), ("epoch >= 3 OR stale = true", "path DESC")]:
        lines = searched(reader, text, order, None)
        assert not any("TEMP B-TREE" in line for line in lines), lines
        assert lines[1].startswith("SEARCH c USING INDEX sqlite_autoindex_checkpoints_1 (root_id=?")


def test_order_by_a_metric_walks_its_values(reader: Reader) -> None:
    lines = searched(reader, "metrics.acc > 0.5", "metrics.acc DESC")
    assert lines[0].startswith("SEARCH m USING COVERING INDEX ix_metrics_by_value (name_id=? AND live=? AND value>?")
    assert "USE TEMP B-TREE FOR ORDER BY" not in lines
    both = searched(reader, "", "metrics.acc")
    assert sum("ix_metrics_by_value" in line for line in both) == 1
    assert "USE TEMP B-TREE FOR ORDER BY" not in both


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("metrics.acc > 0.5", "SEARCH d USING COVERING INDEX ix_metrics_by_value (name_id=? AND live=? AND value>?)"),
        (
            "metrics.acc > 0.5 AND architecture = 'rare'",
            "SEARCH d USING COVERING INDEX ix_metrics_by_architecture "
            "(name_id=? AND live=? AND architecture=? AND value>?)",
        ),
        ("params.lr = 0.1", "SEARCH p USING INDEX ix_params_by_value (name=? AND value=?)"),
        ("architecture = 'rare'", "SEARCH c USING INDEX ix_checkpoints_architecture (architecture=?)"),
        ("state = 'ready' AND metrics.acc = 0.5", "SEARCH d USING COVERING INDEX ix_metrics_by_value"),
        ("state = 'missing'", "SEARCH c USING COVERING INDEX ix_checkpoints_not_ready (state=?)"),
        ("state IN ('missing', 'truncated')", "SEARCH c USING COVERING INDEX ix_checkpoints_not_ready (state=?)"),
        ("state IN ('missing', 'ready')", "SCAN c"),
        ("path = '/data/1/1.ckpt'", "SCAN r"),
        ("metrics.acc > 0.5 OR epoch = 1", "SCAN c"),
    ],
)
def test_count_starts_where_the_fewest_rows_are(reader: Reader, text: str, start: str) -> None:
    statement = compile_count(parse_filter(text), names=reader.metric_ids(), now=NOW)
    lines = plan(reader, statement)
    assert lines[0].startswith(start), lines
    if text.startswith("path"):
        assert lines[1].endswith("(root_id=? AND rel_path=?)")


def test_a_count_by_a_metric_alone_reads_no_checkpoint(reader: Reader) -> None:
    for text in ("metrics.acc > 0.5", "metrics.acc > 0.5 AND architecture = 'rare'"):
        assert len(plan(reader, compile_count(parse_filter(text), names=reader.metric_ids(), now=NOW))) == 1


def test_what_a_ranking_leaves_out_is_counted_by_indexes(reader: Reader) -> None:
    few = {"SCAN c USING INDEX ix_checkpoints_not_ready", "SEARCH m USING PRIMARY KEY", "SCAN CONSTANT ROW"}
    for text in ("", "architecture = 'rare'"):
        ways = compile_left_out("acc", parse_filter(text), names=reader.metric_ids())
        lines = [line for line in all_lines(reader, ways[0]) if not line.startswith("SCALAR SUBQUERY")]
        assert len(ways) == 1
        assert [line for line in lines if "COVERING INDEX" not in line and not line.startswith(tuple(few))] == []
