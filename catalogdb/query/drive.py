"""Which table a statement starts from: the condition that leaves the fewest rows, as far as its kind can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, get_args

from catalogdb.query.conditions import Conditions, Sql, written_as
from catalogdb.query.patterns import after_prefix, literal_prefix
from catalogdb.query.tree import Between, Comparison, Contains, Ident, IsNull, Literal_, Membership, Node

DriverKind = Literal[
    "id", "path", "alias", "tag", "exp_name", "state", "prefix", "metric", "param", "architecture", "none"
]
SELECTIVE: frozenset[DriverKind] = frozenset({"id", "path", "alias", "tag", "exp_name"})
"""Few rows: cheaper to read them all and sort than to walk another index in order."""

_ORDER = get_args(DriverKind)
_RANGES = ("=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Driver:
    """The first tables of FROM, up to checkpoints as ``c``, and the conditions that belong to them.

    ``settles`` are the parts of the filter that ``where`` says in full. ``columns`` maps ids of metrics to their
    columns, ``about`` is the metric that drives. ``alone`` are the tables without checkpoints, where they have a row
    for each.
    """

    kind: DriverKind
    tables: Sql
    where: list[Sql] = field(default_factory=list)
    settles: tuple[Node, ...] = ()
    columns: Mapping[int, str] = field(default_factory=dict)
    about: Ident | None = None
    alone: Sql | None = None


def choose_drivers(conditions: Conditions, parts: Sequence[Node], live: str) -> list[Driver]:
    """The drivers among conditions that must all hold, the best first; the last one is all rows."""
    found = [driver for part in parts if (driver := _driver(conditions, part, live)) is not None]
    found.append(Driver("none", Sql("checkpoints c NOT INDEXED")))
    architecture = named_architecture(parts)
    if architecture is not None:
        found = [in_architecture(driver, "d", architecture) if driver.kind == "metric" else driver for driver in found]
    return sorted(found, key=lambda driver: _ORDER.index(driver.kind))


class Named(NamedTuple):
    """The architecture that all rows must have, and the condition that says so."""

    name: str
    said: Node


def in_architecture(driver: Driver, alias: str, named: Named) -> Driver:
    """A driver by a metric, through the index that holds the architecture too."""

    def through(tables: Sql) -> Sql:
        return Sql(tables.text.replace("ix_metrics_by_value", "ix_metrics_by_architecture"), tables.values)

    return replace(
        driver,
        tables=through(driver.tables),
        where=[*driver.where, Sql(f"{alias}.architecture = ?", (named.name,))],
        settles=(*driver.settles, named.said),
        alone=driver.alone and through(driver.alone),
    )


def named_architecture(parts: Sequence[Node]) -> Named | None:
    for part in parts:
        if isinstance(part, Comparison) and part.ident == Ident("field", "architecture") and part.operator == "=":
            return Named(part.value.value, part) if isinstance(part.value.value, str) else None
    return None


def _driver(conditions: Conditions, part: Node, live: str) -> Driver | None:
    if isinstance(part, Contains):
        return None if part.negated else _of_the_user(part)
    if isinstance(part, IsNull | Comparison | Between | Membership):
        return {"field": _by_field, "metric": _by_metric, "param": _by_param, "tag": _by_tag}[part.ident.kind](
            conditions, part, live
        )
    return None


_Named = IsNull | Comparison | Between | Membership


def _equals(part: _Named) -> bool:
    return isinstance(part, Comparison) and part.operator == "="


def _wanted(part: _Named) -> set[Literal_ | None]:
    """The values of which one must be there; None among them where any other may be."""
    if isinstance(part, Comparison) and part.operator == "=":
        return {part.value.value}
    return {value.value for value in part.values} if isinstance(part, Membership) and not part.negated else {None}


def _of_the_user(part: Contains) -> Driver:
    join = "CROSS JOIN checkpoints c NOT INDEXED ON c.id = u.checkpoint_id"
    if part.collection == "tags":
        return Driver("tag", Sql(f"tags u INDEXED BY ix_tags_key {join}"), [Sql("u.key = ?", (part.name,))], (part,))
    return Driver("alias", Sql(f"aliases u {join}"), [Sql("u.name = ?", (part.name,))], (part,))


def _by_field(conditions: Conditions, part: _Named, live: str) -> Driver | None:
    name = part.ident.name
    listed = isinstance(part, Membership) and not part.negated
    if isinstance(part, Comparison) and part.operator == "LIKE":
        return _by_prefix(part)
    if name == "id" and (_equals(part) or listed):
        return Driver("id", Sql("checkpoints c NOT INDEXED"))
    if name == "path" and isinstance(part, Comparison) and _equals(part) and isinstance(part.value.value, str):
        path = part.value.value
        inside = "c.rel_path = coalesce(nullif(substr(?, length(rtrim(r.path, '/')) + 2), ''), '.')"
        return Driver("path", Sql(f"roots r CROSS JOIN checkpoints c ON c.root_id = r.id AND {inside}", (path,)))
    if name == "state" and _wanted(part).isdisjoint(("ready", None)):
        return Driver("state", Sql("checkpoints c INDEXED BY ix_checkpoints_not_ready"), [Sql("c.state <> 'ready'")])
    if name == "exp_name" and (_equals(part) or listed):
        return Driver("exp_name", Sql("checkpoints c INDEXED BY ix_checkpoints_exp_name"))
    if name == "architecture" and (_equals(part) or listed):
        return Driver("architecture", Sql("checkpoints c INDEXED BY ix_checkpoints_architecture"))
    return None


_BASE = "rtrim(r.path, '/') || '/'"
_INSIDE = f"substr(?, 1, length({_BASE})) = {_BASE}"
_BELOW = (
    f"(SELECT r.*, CASE WHEN {_INSIDE} THEN substr(?, length({_BASE}) + 1) ELSE '' END AS rest FROM roots r "
    f"WHERE {_INSIDE} OR substr({_BASE}, 1, length(?)) = ?) r "
    "CROSS JOIN checkpoints c ON c.root_id = r.id AND c.rel_path >= r.rest "
    "AND c.rel_path < CASE r.rest WHEN '' THEN x'' ELSE substr(r.rest, 1, length(r.rest) - 1) || ? END"
)
"""The rest of a path's prefix inside each root: nothing where the root lies below it. A blob is after all texts."""


def _by_prefix(part: Comparison) -> Driver | None:
    """A range of the index on a text, for a pattern that begins with more than a wildcard."""
    prefix = literal_prefix(part.value.value) if isinstance(part.value.value, str) else ""
    following = after_prefix(prefix) if prefix else None
    if following is None:
        return None
    if part.ident.name == "path":
        return Driver("prefix", Sql(_BELOW, (*(prefix,) * 5, following)))
    name = part.ident.name
    if name in ("exp_name", "architecture"):
        between = Sql(f"c.{name} >= ? AND c.{name} < ?", (prefix, prefix[:-1] + following))
        return Driver("prefix", Sql(f"checkpoints c INDEXED BY ix_checkpoints_{name}"), [between])
    return None


def _by_tag(conditions: Conditions, part: _Named, live: str) -> Driver | None:
    if not isinstance(part, Comparison) or not _equals(part):
        return None
    tables = "tags u INDEXED BY ix_tags_key CROSS JOIN checkpoints c NOT INDEXED ON c.id = u.checkpoint_id"
    bound = conditions.bind(part.ident, "=", part.value)
    return Driver(
        "tag", Sql(tables), [Sql(f"u.key = ? AND u.value {bound.text}", (part.ident.name, *bound.values))], (part,)
    )


def _by_metric(conditions: Conditions, part: _Named, live: str) -> Driver | None:
    if isinstance(part, Comparison):
        if part.operator not in _RANGES:
            return None
        bound = [conditions.bind(part.ident, part.operator, part.value)]
    elif isinstance(part, Between) and not part.negated:
        bound = [conditions.bind(part.ident, ">=", part.low), conditions.bind(part.ident, "<=", part.high)]
    elif isinstance(part, IsNull) and part.negated:
        bound = [Sql("IS NOT NULL")]
    else:
        return None
    values = "metrics d INDEXED BY ix_metrics_by_value"
    tables = f"{values} CROSS JOIN checkpoints c NOT INDEXED ON c.id = d.checkpoint_id"
    metric_id = conditions.metric_id(part.ident)
    where = [Sql(f"d.name_id = ? AND d.live {live}", (metric_id,))]
    where.extend(Sql(f"d.value {item.text}", item.values) for item in bound)
    return Driver("metric", Sql(tables), where, (part,), {metric_id: "d.value"}, part.ident, Sql(values))


_PARAMS = (
    "params p INDEXED BY ix_params_by_value "
    "CROSS JOIN param_set_groups g INDEXED BY ix_param_set_groups_param_group_id "
    "ON g.param_group_id = p.param_group_id "
    "CROSS JOIN checkpoints c INDEXED BY ix_checkpoints_param_set_id ON c.param_set_id = g.param_set_id"
)


def _by_param(conditions: Conditions, part: _Named, live: str) -> Driver | None:
    """Through the values that a param has anywhere, which runs share: few, where many checkpoints have them."""
    if isinstance(part, IsNull) or (isinstance(part, Comparison) and part.operator == "!="):
        return None
    if not isinstance(part, Comparison) and part.negated:
        return None
    held = [Sql("p.name = ?", (part.ident.name,))]
    if isinstance(part, Comparison) and part.operator == "=":
        held.extend(_held(part.value.value))
    return Driver("param", Sql(_PARAMS), [*held, conditions.param_tests(part)], (part,))


def _held(value: Literal_) -> Iterator[Sql]:
    """The values that the index has for those that equal ``value``, where it holds them as they are compared."""
    values: list[object] = [value]
    if isinstance(value, str) and (written := written_as(value)) is not None:
        values.append(written[1])
    if None in values or (isinstance(value, int | float) and not -(2**53) < value < 2**53):
        return  # NULL, or digits as text
    yield Sql(f"p.value IN ({', '.join('?' * len(values))})", tuple(values))
