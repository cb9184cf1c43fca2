"""Trees → one SQL statement each, with its plan written down: SQLite's planner, with or without statistics, is left no
choice that matters. CROSS JOIN fixes the order of tables, INDEXED BY the index that drives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from catalogdb.errors import QueryError
from catalogdb.query.conditions import Conditions, Sql, joined
from catalogdb.query.drive import SELECTIVE, Driver, choose_driver, named_architecture
from catalogdb.query.fields import FIELDS
from catalogdb.query.tree import Between, Comparison, Filter, Ident, IsNull, Membership, Node, OrderKey, conjuncts

__all__ = [
    "Statement",
    "compile_count",
    "compile_left_out",
    "compile_rank",
    "compile_search",
]

PATH = FIELDS["path"].expression
MAX_PARAMETERS = 32_000
LARGEST = 1.7976931348623157e308
PATH_KEYS = (Sql("r.path"), Sql("c.rel_path"))
"""By root, then inside the root: roots never overlap, and so no sorting is needed where rows are read in this order."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL for the raw driver, positional placeholders, and their values."""

    sql: str
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class _Query:
    """What the pieces of one statement have in common."""

    filter: Filter
    conditions: Conditions
    visible: tuple[Sql, ...]
    live: str

    @property
    def parts(self) -> list[Node]:
        return conjuncts(self.filter.root)

    def driver(self) -> Driver:
        return choose_driver(self.conditions, self.parts, self.live)

    def with_columns(self, driver: Driver) -> Conditions:
        return replace(self.conditions, metric_columns=driver.columns)

    def where(self, driver: Driver) -> list[Sql]:
        """The driver's conditions, and those of the filter that it doesn't settle."""
        conditions = self.with_columns(driver)
        rest = (conditions.node(part) for part in self.parts if part is not driver.settles)
        return [*driver.where, *self.visible, *rest]


def _query(filter: Filter, names: Mapping[str, int], now: datetime | None, *, ready: bool = False) -> _Query:
    conditions = Conditions(names, now or datetime.now(timezone.utc), filter.text)
    if filter.names_field("state"):
        return _Query(filter, conditions, (), "IN (0, 1)")
    visible = Sql("c.state = 'ready'" if ready else "c.state <> 'missing'")
    return _Query(filter, conditions, (visible,), "= 1")


def compile_search(
    filter: Filter,
    order: Sequence[OrderKey] = (),
    limit: int | None = None,
    *,
    names: Mapping[str, int],
    now: datetime | None = None,
) -> Statement:
    """The ids of the checkpoints that match, in order: by default, and at last, by root and path inside it.

    Missing rows are left out unless the filter names ``state``. Raises QueryError for an unknown metric or a value
    of the wrong type.
    """
    query = _query(filter, names, now)
    driver = query.driver()
    first = order[0] if order else None
    if first is not None and first.ident.kind == "metric" and driver.kind not in SELECTIVE:
        return _search_by_metric(query, driver, order, limit)
    driver = _in_order(driver, order)
    keys = _order_keys(query.with_columns(driver), order)
    return _statement(_select("c.id", driver.tables, query.where(driver), keys, limit))


def compile_count(filter: Filter, *, names: Mapping[str, int], now: datetime | None = None) -> Statement:
    """How many checkpoints match: one row, one number."""
    query = _query(filter, names, now)
    driver = query.driver()
    return _statement(_select("count(*)", driver.tables, query.where(driver), (), None))


def compile_rank(
    metric: str,
    mode: str,
    filter: Filter,
    limit: int | None = None,
    *,
    names: Mapping[str, int],
    per: Ident | None = None,
    now: datetime | None = None,
) -> Statement:
    """The ids of the best checkpoints by a metric, best first; with ``per`` the best of each of its values.

    Ready rows only, unless the filter names ``state``; infinite and missing values never rank. Equal values: what was
    measured at this checkpoint before what is only known of its run, then the later step, then the path.
    """
    query = _query(filter, names, now, ready=True)
    metric_id = _known_metric(metric, query)
    if per is not None:
        return _rank_per(query, metric_id, mode, per, limit)
    driver = query.driver()
    driver = _with_metric(driver, metric_id) if driver.kind in SELECTIVE else _walk(query, metric_id)
    keys = [Sql(f"m.value {_direction(mode)}"), Sql("o.scope"), Sql("c.global_step DESC"), Sql(PATH)]
    return _statement(_select("c.id", _with_origin(driver), [*query.where(driver), _finite("m")], keys, limit))


def compile_left_out(
    metric: str, filter: Filter, *, names: Mapping[str, int], now: datetime | None = None
) -> Statement:
    """How many checkpoints a ranking leaves out: they match the filter, but have no finite value of the metric."""
    query = _query(filter, names, now, ready=True)
    metric_id = _known_metric(metric, query)
    driver = query.driver()
    exists = "EXISTS (SELECT 1 FROM metrics m WHERE m.checkpoint_id = c.id AND m.name_id = ?"
    without = Sql(f"NOT {exists} AND {_finite('m').text})", (metric_id, *_finite("m").values))
    return _statement(_select("count(*)", driver.tables, [*query.where(driver), without], (), None))


def _known_metric(metric: str, query: _Query) -> int:
    try:
        return query.conditions.metric_id(Ident("metric", metric))
    except QueryError as error:
        raise QueryError(error.message) from None


def _direction(mode: str) -> str:
    return {"min": "ASC", "max": "DESC"}[mode]


def _finite(alias: str) -> Sql:
    return Sql(f"{alias}.value BETWEEN ? AND ?", (-LARGEST, LARGEST))


def _walk(query: _Query, metric_id: int) -> Driver:
    """Rows in the order of a metric's values, through the index that holds the architecture as well where it can."""
    architecture = named_architecture(query.parts)
    index = "ix_metrics_by_value" if architecture is None else "ix_metrics_by_architecture"
    tables = Sql(f"metrics m INDEXED BY {index} CROSS JOIN checkpoints c NOT INDEXED ON c.id = m.checkpoint_id")
    where = [Sql(f"m.name_id = ? AND m.live {query.live}", (metric_id,))]
    if architecture is not None:
        where.append(Sql("m.architecture = ?", (architecture,)))
    return Driver("metric", tables, where, columns={metric_id: "m.value"})


def _in_order(driver: Driver, order: Sequence[OrderKey]) -> Driver:
    """Where nothing narrows and rows are wanted by path, they are read by path."""
    if driver.kind == "none" and (not order or order[0].ident == Ident("field", "path")):
        return Driver("none", Sql("roots r CROSS JOIN checkpoints c ON c.root_id = r.id"))
    return driver


def _with_metric(driver: Driver, metric_id: int) -> Driver:
    join = "CROSS JOIN metrics m ON m.checkpoint_id = c.id AND m.name_id = ?"
    tables = Sql(f"{driver.tables.text} {join}", (*driver.tables.values, metric_id))
    return replace(driver, tables=tables, columns={metric_id: "m.value"})


def _with_origin(driver: Driver) -> Sql:
    return Sql(f"{driver.tables.text} CROSS JOIN origins o ON o.id = m.origin_id", driver.tables.values)


def _is_about(part: Node, metric: str) -> bool:
    """Whether a condition can only hold where the metric has a value."""
    if isinstance(part, IsNull):
        return part.negated and part.ident == Ident("metric", metric)
    return isinstance(part, Comparison | Between | Membership) and part.ident == Ident("metric", metric)


def _search_by_metric(query: _Query, driver: Driver, order: Sequence[OrderKey], limit: int | None) -> Statement:
    """Rows that have the metric, in the order of its index; then, or before, those that haven't."""
    first = order[0]
    metric_id = replace(query.conditions, text=first.text).metric_id(first.ident)
    walk = _walk(query, metric_id)
    keys = _order_keys(query.with_columns(walk), order)
    keys[0] = Sql("m.value DESC" if first.descending else "m.value")
    has = _select("c.id", walk.tables, [*query.where(walk), Sql("m.value IS NOT NULL")], keys, limit)
    if any(_is_about(part, first.ident.name) for part in query.parts):
        return _statement(has)
    value = query.conditions.operand(first.ident)
    lacks_value = Sql(f"({value.text}) IS NULL", value.values)
    driver = _in_order(driver, order[1:])
    keys = _order_keys(query.with_columns(driver), order[1:])
    lacks = _select("c.id", driver.tables, [*query.where(driver), lacks_value], keys, limit)
    pieces = (lacks, has) if first.nulls_first else (has, lacks)
    # A LIMIT in each half keeps its order; SQLite runs one after the other, and stops at the last LIMIT.
    halves = joined((Sql(f"SELECT id FROM ({piece.text})", piece.values) for piece in pieces), " UNION ALL ")
    return _statement(Sql(f"{halves.text} LIMIT ?", (*halves.values, -1 if limit is None else limit)))


def _rank_per(query: _Query, metric_id: int, mode: str, per: Ident, limit: int | None) -> Statement:
    driver = query.driver()
    grouped = per.kind == "field" and per.name in ("exp_name", "architecture")
    if driver.kind in SELECTIVE:
        driver = _with_metric(driver, metric_id)
    elif grouped and named_architecture(query.parts) is None:
        by_group = Driver("none", Sql(f"checkpoints c INDEXED BY ix_checkpoints_{per.name}"))
        driver = _with_metric(by_group, metric_id)
    else:
        driver = _walk(query, metric_id)
    group = query.with_columns(driver).operand(per)
    direction = _direction(mode)
    ordering = f"m.value {direction}, o.scope, c.global_step DESC, {PATH}"
    columns = Sql(
        f"c.id AS id, m.value AS value, o.scope AS scope, c.global_step AS step, {PATH} AS path, "
        f"row_number() OVER (PARTITION BY {group.text} ORDER BY {ordering}) AS place",
        group.values,
    )
    known = Sql(f"({group.text}) IS NOT NULL", group.values)
    inner = _select(columns, _with_origin(driver), [*query.where(driver), known, _finite("m")], (), None)
    outer = f"SELECT id FROM ({inner.text}) WHERE place = 1 ORDER BY value {direction}, scope, step DESC, path LIMIT ?"
    return _statement(Sql(outer, (*inner.values, -1 if limit is None else limit)))


def _order_keys(conditions: Conditions, order: Sequence[OrderKey]) -> list[Sql]:
    keys: list[Sql] = []
    unique = False
    for key in order:
        operand = replace(conditions, text=key.text).operand(key.ident)
        down = " DESC" if key.descending else ""
        if key.ident == Ident("field", "path"):
            keys.extend(Sql(item.text + down) for item in PATH_KEYS)
        else:
            # In SQLite nulls are small: said only where it changes something, so that an index can give the order.
            place = "" if key.nulls_first != key.descending else (" NULLS FIRST" if key.nulls_first else " NULLS LAST")
            keys.append(Sql(f"({operand.text}){down}{place}", operand.values))
        unique = unique or (key.ident.kind == "field" and key.ident.name in ("id", "path"))
    return keys if unique else [*keys, *PATH_KEYS]


def _select(columns: str | Sql, tables: Sql, where: Sequence[Sql], order: Sequence[Sql], limit: int | None) -> Sql:
    """A SELECT; the roots are joined where something needs them and the tables don't have them."""
    columns = Sql(columns) if isinstance(columns, str) else columns
    wheres = joined(where, " AND ")
    orders = joined(order, ", ")
    if re.search(r"\br\.", f"{columns.text} {wheres.text} {orders.text}") and "roots r" not in tables.text:
        tables = Sql(f"{tables.text} CROSS JOIN roots r ON r.id = c.root_id", tables.values)
    text = f"SELECT {columns.text} FROM {tables.text}"
    text += f" WHERE {wheres.text}" if wheres.text else ""
    text += f" ORDER BY {orders.text} LIMIT ?" if orders.text else ""
    limits = ((-1 if limit is None else limit),) if orders.text else ()
    return Sql(text, (*columns.values, *tables.values, *wheres.values, *orders.values, *limits))


def _statement(sql: Sql) -> Statement:
    if len(sql.values) > MAX_PARAMETERS:
        raise QueryError(f"a filter with {len(sql.values)} values is too long; at most {MAX_PARAMETERS}")
    return Statement(sql.text, sql.values)
