"""Random filters: text and tree say the same, and SQL answers as a plain loop over the rows would."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from math import inf, nan
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogdb.errors import QueryError
from catalogdb.query.compile import compile_count, compile_search
from catalogdb.query.parse import parse_filter, parse_order
from catalogdb.query.rank import compile_left_out, compile_rank
from catalogdb.query.tree import Filter, Ident, Node, OrderKey
from catalogdb.store.reader import Reader
from tests.unit.query import naive
from tests.unit.query.render import render, render_order
from tests.unit.query.trees import NAMES, TEXTS, orders, trees
from tests.unit.query.world import NOW, Row, reader_of

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def odd_rows(count: int, seed: int) -> list[Row]:
    """Rows with holes, ties, NaN, infinities and odd names everywhere."""
    draw = random.Random(seed)
    values: list[Any] = [0, 1, 2, 0.5, -0.5, 0.01, 1e300, inf, -inf, nan]
    scalars = [*values, *TEXTS, True, False, None, 10**30, -(10**30)]

    def some(names: tuple[str, ...], pool: list[Any]) -> dict[str, Any]:
        return {name: draw.choice(pool) for name in names if draw.random() < 0.5}

    rows = []
    for number in range(1, count + 1):
        root = draw.choice(("/data", "/more"))
        fields = {
            **some(("exp_name", "architecture", "loss"), list(TEXTS)),
            **some(("epoch", "hmean"), [0, 1, 2, 0.5]),
            **some(("global_step",), [0, 1, 2]),
            **some(("created_at",), ["2026-11-24T14:00:00+02:00", "2026-11-23T12:00:00+00:00"]),
            **some(("config_path",), ["a/config.yaml"]),
        }
        metrics = some(NAMES, [float(value) for value in values])
        of_run = {name for name in metrics if draw.random() < 0.3}
        rows.append(
            Row(
                number,
                f"{root}/{draw.choice(('a', 'A', 'Ä', 'it%'))}/{number}{draw.choice(('.ckpt', '.pt'))}",
                root,
                format=draw.choice(("torch_zip", None)),
                size_bytes=draw.choice((0, 1, 2**53)),
                mtime=NOW + timedelta(days=draw.randrange(-4, 3), microseconds=draw.randrange(3)),
                state=draw.choice(("ready", "ready", "ready", "writing", "missing")),
                source=draw.choice(("yaml", "wandb", None)),
                stale=draw.random() < 0.3,
                fields=fields,
                metrics={name: value for name, value in metrics.items() if name not in of_run},
                run_metrics={name: value for name, value in metrics.items() if name in of_run},
                params=some(NAMES, scalars),
                tags=some(NAMES, [*TEXTS, None]),
                aliases=[f"{name}" for name in NAMES if draw.random() < 0.02],
                note=draw.choice((None, "a", "it's")),
                num_parameters=draw.choice((None, 1, 2)),
            )
        )
    taken: set[str] = set()
    for row in rows:  # an alias names one checkpoint
        row.aliases[:] = [name for name in row.aliases if name not in taken]  # type: ignore[index]
        taken.update(row.aliases)
    return rows


ROWS = odd_rows(60, seed=20261124)


@pytest.fixture(scope="module")
def reader(template: sqlite3.Connection) -> Iterator[Reader]:
    with reader_of(template, ROWS) as reader:
        yield reader


@quick
@given(trees)
def test_a_tree_parses_to_itself(tree: Node) -> None:
    assert parse_filter(render(tree)).root == tree


@quick
@given(orders)
def test_an_ordering_parses_to_itself(order: tuple[OrderKey, ...]) -> None:
    assert parse_order(render_order(order)) == order


@quick
@given(st.text(max_size=40))
def test_any_text_parses_or_says_where_it_does_not(text: str) -> None:
    error = _error_of(text)
    assert error is None or (error.message and (error.column is None or 0 <= error.column <= len(text)))


def _error_of(text: str) -> QueryError | None:
    try:
        parse_filter(text)
    except QueryError as error:
        return error
    return None


@settings(quick, max_examples=300)
@given(trees, orders, st.none() | st.integers(0, 20))
def test_search_answers_as_a_loop_would(
    reader: Reader, tree: Node, order: tuple[OrderKey, ...], limit: int | None
) -> None:
    names = reader.metric_ids()
    ways = compile_search(Filter(tree), order, limit, names=names, now=NOW)
    for way in ways:
        assert reader.ids([way]) == naive.search(ROWS, tree, order)[:limit]


@quick
@given(trees)
def test_count_answers_as_a_loop_would(reader: Reader, tree: Node) -> None:
    for way in compile_count(Filter(tree), names=reader.metric_ids(), now=NOW):
        assert reader.count([way]) == len(naive.search(ROWS, tree))


@settings(quick, max_examples=200)
@given(
    st.none() | trees,
    st.sampled_from(NAMES),
    st.sampled_from(("min", "max")),
    st.none() | st.sampled_from([Ident("field", "exp_name"), Ident("field", "architecture"), Ident("field", "epoch")]),
    st.none() | st.integers(0, 20),
)
def test_rank_answers_as_a_loop_would(
    reader: Reader, tree: Node | None, metric: str, mode: str, per: Ident | None, limit: int | None
) -> None:
    names = reader.metric_ids()
    for way in compile_rank(metric, mode, Filter(tree), limit, names=names, per=per, now=NOW):
        assert reader.ids([way]) == naive.rank(ROWS, metric, mode, tree, per)[:limit]
    out = compile_left_out(metric, Filter(tree), names=names, now=NOW)
    matching = [row for row in ROWS if naive.visible(row, tree, ready=True) and naive.evaluate(tree, row)]
    expected = len(matching) - len(naive.rank(ROWS, metric, mode, tree))
    assert reader.count(out) == expected


@quick
@given(trees, orders)
def test_no_value_is_part_of_the_sql(reader: Reader, tree: Node, order: tuple[OrderKey, ...]) -> None:
    for way in compile_search(Filter(tree), order, 7, names=reader.metric_ids(), now=NOW):
        for value in ("DROP TABLE", "🙂", "hmean'", "dbnet", "it's", "nnnn"):
            assert value not in way.sql
