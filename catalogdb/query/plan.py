"""What the pieces of a statement have in common: its conditions, the tables they may start from, a SELECT's text.

Every plan is written down, and SQLite's planner, with or without statistics, is left no choice that matters: CROSS JOIN
fixes the order of tables, INDEXED BY the index that drives. Where the best plan depends on how many rows a condition
leaves, which nobody knows, there are several statements with one answer (``Ways``), which ``Reader.race`` runs in turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, NamedTuple

from catalogdb.errors import QueryError
from catalogdb.query.conditions import Conditions, Sql, joined
from catalogdb.query.drive import Driver, choose_drivers, in_architecture, named_architecture
from catalogdb.query.tree import Filter, Ident, Node, conjuncts

MAX_PARAMETERS = 32_000
MOST_WAYS = 3
PRESENT, READY = Sql("c.state <> 'missing'"), Sql("c.state = 'ready'")


class Statement(NamedTuple):
    """SQL for the raw driver, positional placeholders, and their values."""

    sql: str
    parameters: tuple[Any, ...] = ()


Ways = tuple[Statement, ...]
"""Statements with one answer, the one that is likely the quickest first."""


@dataclass(frozen=True, slots=True)
class Query:
    """One filter on its way to statements.

    All its ``parts`` must hold. ``visible`` are the states it is about, ``live`` the same for metrics.
    """

    parts: list[Node]
    conditions: Conditions
    visible: tuple[Sql, ...]
    live: str

    def drivers(self) -> list[Driver]:
        """The most promising first; the last one reads everything."""
        return choose_drivers(self.conditions, self.parts, self.live)

    def with_columns(self, driver: Driver) -> Conditions:
        return replace(self.conditions, metric_columns=driver.columns)

    def where(self, driver: Driver) -> list[Sql]:
        """The driver's conditions, and those of the filter that it doesn't settle."""
        conditions = self.with_columns(driver)
        rest = map(conditions.node, self.rest(driver))
        seen = driver.kind == "metric" and self.visible == (PRESENT,)  # a live metric is one of a row on disk
        return [*driver.where, *(() if seen else self.visible), *rest]

    def rest(self, driver: Driver) -> list[Node]:
        """The conditions that the driver doesn't settle."""
        settled = {id(part) for part in driver.settles}
        return [part for part in self.parts if id(part) not in settled]

    def walk(self, metric_id: int) -> Driver:
        """Rows in the order of a metric's values, through the index that holds the architecture too where it can."""
        values = "metrics m INDEXED BY ix_metrics_by_value"
        tables = f"{values} CROSS JOIN checkpoints c NOT INDEXED ON c.id = m.checkpoint_id"
        where = [Sql(f"m.name_id = ? AND m.live {self.live}", (metric_id,))]
        walk = Driver("metric", Sql(tables), where, columns={metric_id: "m.value"}, alone=Sql(values))
        architecture = named_architecture(self.parts)
        return walk if architecture is None else in_architecture(walk, "m", architecture)

    def narrowing(self, metric: Ident | None) -> list[Driver]:
        """The drivers that leave out rows which walking ``metric`` would read."""
        by_architecture = metric is not None and named_architecture(self.parts) is not None
        found = []
        for driver in self.drivers():
            walked = driver.kind == "metric" and metric is not None and driver.about == metric
            if driver.kind != "none" and not walked and not (driver.kind == "architecture" and by_architecture):
                found.append(driver)
        return found


def make_query(filter: Filter, names: Mapping[str, int], now: datetime | None, *, ready: bool = False) -> Query:
    """``ready`` leaves out all that isn't whole, else only missing rows are; a filter that names ``state`` decides."""
    conditions = Conditions(names, now or datetime.now(timezone.utc), filter.text)
    parts = conjuncts(filter.root)
    if filter.names_field("state"):
        return Query(parts, conditions, (), "IN (0, 1)")
    return Query(parts, conditions, (READY if ready else PRESENT,), "= 1")


def select(columns: str | Sql, tables: Sql, where: Sequence[Sql], order: Sequence[Sql], limit: int | None) -> Sql:
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


def ways_of(pieces: Iterable[Sql]) -> Ways:
    """The first few of them, each once."""
    return tuple(_statement(piece) for piece in list(dict.fromkeys(pieces))[:MOST_WAYS])


def _statement(sql: Sql) -> Statement:
    if len(sql.values) > MAX_PARAMETERS:
        raise QueryError(f"a filter with {len(sql.values)} values is too long; at most {MAX_PARAMETERS}")
    return Statement(sql.text, sql.values)
