"""Filters and orderings → SQL: search, its pages, count."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from catalogdb.query.conditions import Sql, joined
from catalogdb.query.drive import SELECTIVE, Driver
from catalogdb.query.order import follows, order_by, sort_keys
from catalogdb.query.plan import Query, Statement, Ways, make_query, select, ways_of
from catalogdb.query.tree import Between, Comparison, Filter, Ident, IsNull, Membership, Node, OrderKey

PATH = Ident("field", "path")
SCAN = Driver("none", Sql("checkpoints c NOT INDEXED"))
BY_PATH = Driver("none", Sql("roots r CROSS JOIN checkpoints c ON c.root_id = r.id"))


def compile_search(
    filter: Filter,
    order: Sequence[OrderKey] = (),
    limit: int | None = None,
    *,
    names: Mapping[str, int],
    now: datetime | None = None,
    after: Sequence[Any] | None = None,
) -> Ways:
    """The ids of the checkpoints that match, in order: by default, and at last, by root and path inside it.

    Missing rows are left out unless the filter names ``state``. ``after`` are a row's values of the ordering, as
    ``compile_keys`` reads them: only rows that follow it are wanted. Raises QueryError for an unknown metric or a value
    of the wrong type.
    """
    query = make_query(filter, names, now)
    first = order[0].ident if order else PATH
    metric = first if first.kind == "metric" else None
    narrowing = query.narrowing(metric)
    sorted_ways = [_search_sorted(query, driver, order, limit, after) for driver in narrowing]
    if metric is not None:
        walking = _search_by_metric(query, order, limit, after)
    elif first == PATH:
        walking = _search_sorted(query, BY_PATH, order, limit, after)
    elif narrowing:
        return ways_of(sorted_ways)
    else:
        return ways_of([_search_sorted(query, SCAN, order, limit, after)])
    few = bool(narrowing) and narrowing[0].kind in SELECTIVE
    ways = list(_in_turn(walking, sorted_ways, few=few, everything=limit is None, by_path=metric is None))
    if metric is not None and query.parts and not few:
        ways.append(_search_sorted(query, SCAN, order, limit, after))
    return ways_of(ways)


def _in_turn(walking: Sql, sorting: Sequence[Sql], *, few: bool, everything: bool, by_path: bool) -> Iterator[Sql]:
    """Few rows are better sorted, and where all are wanted, all that a driver leaves; but not by a metric."""
    if few or (sorting and everything and by_path):
        yield sorting[0]
        if everything:
            return
        sorting = sorting[1:]
    yield walking
    if not everything:
        yield from sorting


def compile_count(filter: Filter, *, names: Mapping[str, int], now: datetime | None = None) -> Ways:
    """How many checkpoints match: one row, one number."""
    query = make_query(filter, names, now)
    return ways_of(_counted(query, driver) for driver in query.narrowing(None) or [SCAN])


def _counted(query: Query, driver: Driver) -> Sql:
    where = query.where(driver)
    alone = driver.alone is not None and not re.search(r"\b[cr]\.", " ".join(item.text for item in where))
    tables = driver.alone if alone and driver.alone is not None else driver.tables
    return select("count(*)", tables, where, (), None)


def compile_keys(order: Sequence[OrderKey], checkpoint_id: int, *, names: Mapping[str, int]) -> Statement:
    """The values of an ordering that one row has, to go on after it."""
    conditions = make_query(Filter(), names, None).conditions
    columns = joined((key.operand for key in sort_keys(conditions, order)), ", ")
    found = select(columns, SCAN.tables, [Sql("c.id = ?", (checkpoint_id,))], (), None)
    return Statement(found.text, found.values)


def _search_sorted(
    query: Query, driver: Driver, order: Sequence[OrderKey], limit: int | None, after: Sequence[Any] | None
) -> Sql:
    keys = sort_keys(query.with_columns(driver), order)
    following = [] if after is None else follows(keys, after)
    return select("c.id", driver.tables, [*query.where(driver), *following], order_by(keys), limit)


def _search_by_metric(query: Query, order: Sequence[OrderKey], limit: int | None, after: Sequence[Any] | None) -> Sql:
    """Rows that have the metric, in the order of its index; then, or before, those that haven't."""
    first = order[0]
    begun = None if after is None else after[0] is not None
    halves = []
    if not (begun is False and not first.nulls_first):
        halves.append(_having(query, order, limit, after if begun else None))
    lacking = not any(_is_about(part, first.ident) for part in query.parts)
    if lacking and not (begun and first.nulls_first):
        halves.append(_lacking(query, order, limit, after if begun is False else None))
    if first.nulls_first:
        halves.reverse()
    if len(halves) == 1:
        return halves[0]
    # A LIMIT in each half keeps its order; SQLite runs one after the other, and stops at the last LIMIT.
    both = joined((Sql(f"SELECT id FROM ({piece.text})", piece.values) for piece in halves), " UNION ALL ")
    return Sql(f"{both.text} LIMIT ?", (*both.values, -1 if limit is None else limit))


def _having(query: Query, order: Sequence[OrderKey], limit: int | None, after: Sequence[Any] | None) -> Sql:
    first = order[0]
    walk = query.walk(replace(query.conditions, text=first.text).metric_id(first.ident))
    keys = sort_keys(query.with_columns(walk), order)
    keys[0] = replace(keys[0], may_be_null=False)
    following = [] if after is None else follows(keys, after)
    where = [*query.where(walk), Sql("m.value IS NOT NULL"), *following]
    return select("c.id", walk.tables, where, order_by(keys), limit)


def _lacking(query: Query, order: Sequence[OrderKey], limit: int | None, after: Sequence[Any] | None) -> Sql:
    value = replace(query.conditions, text=order[0].text).operand(order[0].ident)
    rest = order[1:]
    driver = query.drivers()[0]
    if driver.kind == "none" and (not rest or rest[0].ident == PATH):
        driver = BY_PATH
    keys = sort_keys(query.with_columns(driver), rest)
    following = [] if after is None else follows(keys, after[1:])
    where = [*query.where(driver), Sql(f"({value.text}) IS NULL", value.values), *following]
    return select("c.id", driver.tables, where, order_by(keys), limit)


def _is_about(part: Node, metric: Ident) -> bool:
    """Whether a condition can only hold where the metric has a value."""
    if isinstance(part, IsNull):
        return part.negated and part.ident == metric
    return isinstance(part, Comparison | Between | Membership) and part.ident == metric
