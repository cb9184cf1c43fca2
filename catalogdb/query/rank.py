"""Rankings → SQL: the best by a metric, the best of each, what they leave out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from catalogdb.errors import QueryError
from catalogdb.query.conditions import Sql, joined
from catalogdb.query.drive import SELECTIVE, Driver, Named, named_architecture
from catalogdb.query.fields import FIELDS
from catalogdb.query.parse import unknown_metric
from catalogdb.query.plan import Query, Ways, make_query, select, ways_of
from catalogdb.query.tree import And, Filter, Ident, IsNull

PATH = FIELDS["path"].expression
LARGEST = 1.7976931348623157e308
SCAN = Driver("none", Sql("checkpoints c NOT INDEXED CROSS JOIN roots r ON r.id = c.root_id"))
"""With the roots before a row's metric is looked up: conditions on the path come first."""
EXPERIMENT, ARCHITECTURE = Ident("field", "exp_name"), Ident("field", "architecture")


def compile_rank(
    metric: str,
    mode: str,
    filter: Filter,
    limit: int | None = None,
    *,
    names: Mapping[str, int],
    per: Ident | None = None,
    now: datetime | None = None,
) -> Ways:
    """The ids of the best checkpoints by a metric, best first; with ``per`` the best of each of its values.

    Ready rows only, unless the filter names ``state``; infinite and missing values never rank. Equal values: what was
    measured at this checkpoint before what is only known of its run, then the later step, then the path.
    """
    query = make_query(filter, names, now, ready=True)
    metric_id = check_metric(metric, names)
    if per is not None:
        return ways_of(_best_of_each(query, metric, metric_id, mode, per, limit))
    return ways_of(_best(query, driver, mode, limit) for driver in _ranked(query, metric, metric_id, limit))


def compile_left_out(metric: str, filter: Filter, *, names: Mapping[str, int], now: datetime | None = None) -> Ways:
    """How many checkpoints a ranking leaves out: they match the filter, but have no finite value of the metric."""
    query = make_query(filter, names, now, ready=True)
    metric_id = check_metric(metric, names)
    named = named_architecture(query.parts)
    if query.parts == ([] if named is None else [named.said]):
        return ways_of([_left_out_by_indexes(query, metric_id, named)])
    exists = "EXISTS (SELECT 1 FROM metrics m WHERE m.checkpoint_id = c.id AND m.name_id = ?"
    without = Sql(f"NOT {exists} AND {finite('m').text})", (metric_id, *finite("m").values))
    drivers = query.narrowing(None) or query.drivers()
    return ways_of(select("count(*)", driver.tables, [*query.where(driver), without], (), None) for driver in drivers)


def compile_ungrouped(
    metric: str, per: Ident, filter: Filter, *, names: Mapping[str, int], now: datetime | None = None
) -> Ways:
    """How many checkpoints are in no group of a ranking by ``per``: they have the metric, but not that field."""
    lacking = IsNull(per, negated=False)
    without = Filter(lacking if filter.root is None else And((filter.root, lacking)), filter.text)
    query = make_query(without, names, now, ready=True)
    drivers = all_measured(query, check_metric(metric, names))
    return ways_of(select("count(*)", each.tables, [*query.where(each), finite("m")], (), None) for each in drivers)


def _left_out_by_indexes(query: Query, metric_id: int, named: Named | None) -> Sql:
    """All rows less those that aren't ready, less the finite values that are live and of a ready row: no row is read
    but the few that aren't ready."""
    walk = query.walk(metric_id)
    valued = [*walk.where, finite("m")]
    waiting = [Sql("c.state <> 'ready'")]
    rows = Sql("checkpoints c")
    where = []
    if named is not None:
        where = [Sql("c.architecture = ?", (named.name,))]
        rows = Sql("checkpoints c INDEXED BY ix_checkpoints_architecture")
    not_ready = "checkpoints c INDEXED BY ix_checkpoints_not_ready"
    with_value = f"{not_ready} CROSS JOIN metrics m NOT INDEXED ON m.checkpoint_id = c.id"
    counts = [
        select("count(*)", rows, where, (), None),
        select("count(*)", Sql(not_ready), [*waiting, *where], (), None),
        select("count(*)", walk.alone or walk.tables, valued, (), None),
        select("count(*)", Sql(with_value), [*waiting, *valued], (), None),
    ]
    signs = zip(("", " - ", " - ", " + "), counts, strict=True)
    terms = joined((Sql(f"{sign}({count.text})", count.values) for sign, count in signs), "")
    return Sql(f"SELECT {terms.text}", terms.values)


def check_metric(metric: str, names: Mapping[str, int]) -> int:
    """The metric's id. Raises QueryError, with near names, for one that no checkpoint has."""
    found = names.get(metric)
    if found is None:
        raise QueryError(unknown_metric(metric, names))
    return found


def all_measured(query: Query, metric_id: int) -> list[Driver]:
    """For all rows that match and have the metric: what leaves few of them first, at last all as they lie on disk."""
    return [_with_metric(driver, metric_id) for driver in [*query.narrowing(None), SCAN]]


def _ranked(query: Query, metric: str, metric_id: int, limit: int | None) -> Iterator[Driver]:
    """Few rows are better sorted; else the metric is walked from its best value on, until enough were found. Where that
    may take very long, since a condition may leave next to nothing, all rows are read as they lie on disk."""
    if limit is None:
        yield from all_measured(query, metric_id)
        return
    narrowing = [_with_metric(driver, metric_id) for driver in query.narrowing(Ident("metric", metric))]
    few = bool(narrowing) and narrowing[0].kind in SELECTIVE
    if few:
        yield narrowing.pop(0)
    walk = query.walk(metric_id)
    yield walk
    yield from narrowing
    if not few and query.rest(walk):
        yield _with_metric(SCAN, metric_id)


def _best_of_each(query: Query, metric: str, metric_id: int, mode: str, per: Ident, limit: int | None) -> Iterator[Sql]:
    """Few rows are grouped after they were read; else an index leads from group to group, where there is one.

    All rows are read as they lie on disk, also where a condition may leave few groups: by the metric's values they
    would be read here and there, five times as long.
    """
    narrowing = query.narrowing(Ident("metric", metric))
    if narrowing and narrowing[0].kind != "architecture":
        yield _numbered(query, _with_metric(narrowing[0], metric_id), mode, per, limit)
        if narrowing[0].kind in SELECTIVE:
            return
    walk = query.walk(metric_id)
    named = named_architecture(query.parts)
    if per == EXPERIMENT:
        rows = "checkpoints c INDEXED BY ix_checkpoints_exp_name"
        driver = _with_metric(Driver("none", Sql(rows), [Sql("c.exp_name = g.value")]), metric_id)
        yield _group_by_group(query, driver, metric_id, mode, "exp_name", limit)
    elif per == ARCHITECTURE and named is None:
        tables = Sql(walk.tables.text.replace("ix_metrics_by_value", "ix_metrics_by_architecture"))
        driver = replace(walk, tables=tables, where=[*walk.where, Sql("m.architecture = g.value")])
        yield _group_by_group(query, driver, metric_id, mode, "architecture", limit)
    elif named is not None:
        yield _numbered(query, walk, mode, per, limit)
    if query.parts or per not in (EXPERIMENT, ARCHITECTURE):
        yield _numbered(query, _with_metric(SCAN, metric_id), mode, per, limit)


def _best(query: Query, driver: Driver, mode: str, limit: int | None) -> Sql:
    return select("c.id", with_origin(driver), [*query.where(driver), finite("m")], _keys(mode), limit)


def _keys(mode: str) -> list[Sql]:
    return [Sql(f"m.value {_direction(mode)}"), Sql("o.scope"), Sql("c.global_step DESC"), Sql(PATH)]


def _group_by_group(query: Query, driver: Driver, metric_id: int, mode: str, column: str, limit: int | None) -> Sql:
    """The values of an indexed column, one seek each, and for each the first of its rows.

    The LIMIT that takes all keeps SQLite from asking for the first row again wherever its id is used.
    """
    first, following = (
        f"SELECT min({column}) FROM checkpoints INDEXED BY ix_checkpoints_{column}{after}"
        for after in ("", f" WHERE {column} > g.value")
    )
    values = f"WITH RECURSIVE g(value) AS ({first} UNION ALL SELECT ({following}) FROM g WHERE value IS NOT NULL)"
    best = _best(query, driver, mode, 1)
    each = f"(SELECT ({best.text}) AS id FROM g LIMIT -1) f CROSS JOIN checkpoints c ON c.id = f.id"
    found = Driver("none", Sql(f"{each} CROSS JOIN roots r ON r.id = c.root_id", best.values))
    sorted_ = select("c.id", with_origin(_with_metric(found, metric_id)), [], _keys(mode), limit)
    return Sql(f"{values} {sorted_.text}", sorted_.values)


def _numbered(query: Query, driver: Driver, mode: str, per: Ident, limit: int | None) -> Sql:
    """All rows that match, numbered inside their groups.

    The LIMIT that takes all keeps SQLite from working out the group twice, where it is used.
    """
    group = query.with_columns(driver).operand(per)
    columns = Sql(
        f"c.id AS id, ({group.text}) AS group_, m.value AS value, o.scope AS scope, c.global_step AS step, "
        f"{PATH} AS path",
        group.values,
    )
    rows = select(columns, with_origin(driver), [*query.where(driver), finite("m")], (), None)
    ordering = f"value {_direction(mode)}, scope, step DESC, path"
    places = f"row_number() OVER (PARTITION BY group_ ORDER BY {ordering}) AS place"
    numbered = f"SELECT *, {places} FROM ({rows.text} LIMIT -1) WHERE group_ IS NOT NULL"
    found = f"SELECT id FROM ({numbered}) WHERE place = 1 ORDER BY {ordering} LIMIT ?"
    return Sql(found, (*rows.values, -1 if limit is None else limit))


def _direction(mode: str) -> str:
    return {"min": "ASC", "max": "DESC"}[mode]


def finite(alias: str) -> Sql:
    return Sql(f"{alias}.value BETWEEN ? AND ?", (-LARGEST, LARGEST))


def _with_metric(driver: Driver, metric_id: int) -> Driver:
    join = "CROSS JOIN metrics m ON m.checkpoint_id = c.id AND m.name_id = ?"
    tables = Sql(f"{driver.tables.text} {join}", (*driver.tables.values, metric_id))
    return replace(driver, tables=tables, columns={**driver.columns, metric_id: "m.value"})


def with_origin(driver: Driver) -> Sql:
    return Sql(f"{driver.tables.text} CROSS JOIN origins o ON o.id = m.origin_id", driver.tables.values)
