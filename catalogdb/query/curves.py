"""A metric over the steps of training, as points that can be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from catalogdb.errors import QueryError
from catalogdb.query.conditions import Sql
from catalogdb.query.direction import resolve_mode
from catalogdb.query.drive import Driver
from catalogdb.query.fields import FIELDS
from catalogdb.query.groups import as_value, parse_group
from catalogdb.query.parse import parse_filter
from catalogdb.query.plan import Query, make_query, select, ways_of
from catalogdb.query.rank import PATH, all_measured, check_metric, compile_left_out, finite, with_origin
from catalogdb.query.tree import Ident
from catalogdb.records import Curve, Curves, Mode, Point
from catalogdb.store import Store

RUN = FIELDS["run"].expression
AXES = ("global_step", "epoch")


def curves(store: Store, metric: str, *, by: str | None, x: str, where: str, mode: str | None) -> Curves:
    """Raises QueryError for an unknown metric, field or axis, and where the direction can't be told."""
    if x not in AXES:
        raise QueryError(f"x is {' or '.join(AXES)}, not {x!r}")
    with store.reader() as reader:
        names = reader.metric_ids()
        metric_id = check_metric(metric, names)
        chosen = resolve_mode(metric, mode=mode, recorded=() if mode else reader.recorded_modes(metric))
        filter = parse_filter(where, metrics=names)
        query = make_query(filter, names, None, ready=True)
        ident = parse_group(by or "run", metrics=names)
        found = reader.race(ways_of(_points(query, driver, ident, x) for driver in all_measured(query, metric_id)))
        without = reader.count(compile_left_out(metric, filter, names=names))
    own = [row for row in found if row[6] == "checkpoint"]
    drawn = [(as_value(ident, row[0]), *row[1:6]) for row in own if row[3] is not None]
    left_out = without + len(found) - len(drawn)
    return Curves(metric, chosen, x, tuple(_curves(drawn, chosen)), left_out, len(found) - len(own))


def _points(query: Query, driver: Driver, group: Ident, x: str) -> Sql:
    grouped = query.with_columns(driver).operand(group)
    columns = Sql(f"{grouped.text}, c.exp_name, {RUN}, c.{x}, m.value, {PATH}, o.scope", grouped.values)
    return select(columns, with_origin(driver), [*query.where(driver), finite("m")], (), None)


def _curves(rows: Iterable[tuple[Any, ...]], mode: Mode) -> Iterator[Curve]:
    """One for each run of each group; what several files hold of one step (``last.ckpt``) is one point."""
    members: dict[tuple[Any, str | None, str], dict[tuple[int, float], str]] = {}
    for group, experiment, run, x, value, path in rows:
        paths = members.setdefault((group, experiment, run), {})
        paths[x, value] = min(path, paths.get((x, value), path))
    sign = 1 if mode == "max" else -1
    for key in sorted(members, key=lambda key: [(part is None, str(part)) for part in key]):
        points = sorted(Point(x, value, path) for (x, value), path in members[key].items())
        best = max(points, key=lambda point: (sign * point.value, point.x))
        group, experiment, run = key
        yield Curve(group, experiment, tuple(points), best, run)
