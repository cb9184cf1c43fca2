"""What a filter means, said a second time: over plain rows, in Python, with logic of three values (None: unknown)."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from catalogdb.query.moments import parse_moment
from catalogdb.query.tree import And, Between, Comparison, Contains, Ident, IsNull, Membership, Node, Not, Or, OrderKey
from tests.unit.query.world import NOW, Row

Truth = bool | None


def evaluate(node: Node | None, row: Row) -> Truth:
    if node is None:
        return True
    if isinstance(node, And):
        return _all(evaluate(part, row) for part in node.parts)
    if isinstance(node, Or):
        return _not(_all(_not(evaluate(part, row)) for part in node.parts))
    if isinstance(node, Not):
        return _not(evaluate(node.part, row))
    if isinstance(node, Contains):
        return (node.name in (row.tags if node.collection == "tags" else row.aliases)) != node.negated
    if isinstance(node, IsNull):
        plain = node.ident.kind == "tag" and node.ident.name in row.tags
        return (_lookup(node.ident, row) is None and not plain) != node.negated
    if isinstance(node, Comparison):
        return _compare(node.ident, row, node.operator, node.value.value)
    if isinstance(node, Between):
        found = _all(
            (_compare(node.ident, row, ">=", node.low.value), _compare(node.ident, row, "<=", node.high.value))
        )
    else:
        assert isinstance(node, Membership)
        found = _not(_all(_not(_compare(node.ident, row, "=", value.value)) for value in node.values))
    return _not(found) if node.negated else found


def _all(values: Iterable[Truth]) -> Truth:
    listed = list(values)
    if False in listed:
        return False
    return None if None in listed else True


def _not(value: Truth) -> Truth:
    return None if value is None else not value


def _lookup(ident: Ident, row: Row) -> Any:
    """The value, None where there is none: NaN is none."""
    if ident.kind == "field":
        value = _field(ident.name, row)
    elif ident.kind == "tag":
        return row.tags.get(ident.name)
    else:
        held = {**row.metrics, **row.run_metrics} if ident.kind == "metric" else row.params
        value = held.get(ident.name)
    return None if isinstance(value, float) and math.isnan(value) else value


def _field(name: str, row: Row) -> Any:
    if name == "num_tensors":
        return None if row.num_parameters is None else 2
    if name == "weights_fingerprint":
        return None if row.num_parameters is None else f"crc:{row.num_parameters}"
    if hasattr(row, name):
        return getattr(row, name)
    value = row.fields.get(name)
    if name == "created_at" and value is not None:
        return parse_moment(str(value))
    if name == "config_path" and value is not None:
        return f"{row.root}/{value}"
    return value


def _compare(ident: Ident, row: Row, operator: str, literal: Any) -> Truth:
    if ident.kind == "param":
        return _compare_param(ident.name in row.params, row.params.get(ident.name), operator, literal)
    value = _lookup(ident, row)
    if value is None:
        return None
    if isinstance(value, datetime):
        literal = _moment(literal)
    return _operate(value, operator, literal)


def _compare_param(known: bool, value: Any, operator: str, literal: Any) -> Truth:
    if not known:
        return None
    if operator in ("LIKE", "ILIKE", "~"):
        return _operate(str(value), operator, literal)
    if isinstance(literal, str):
        if operator in ("=", "!="):
            return (str(value) == literal) == (operator == "=")
        return None if value is None else isinstance(value, str) and _operate(value, operator, literal)
    if value is None:
        return None
    of_type = isinstance(value, bool) if isinstance(literal, bool) else not isinstance(value, bool | str)
    if not of_type:
        return operator == "!="
    if isinstance(value, float) and math.isnan(value):
        return None
    wide = isinstance(value, int) and abs(value) >= 2**63
    return _operate(float(value) if wide else value, operator, literal)


def _moment(literal: Any) -> datetime:
    if isinstance(literal, timedelta):
        return NOW - literal
    return literal if isinstance(literal, datetime) else parse_moment(literal)


OPERATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "~": lambda left, right: re.search(right, left) is not None,
    "LIKE": lambda left, right: re.fullmatch(_like(right), left, re.DOTALL) is not None,
    "ILIKE": lambda left, right: re.fullmatch(_like(right.lower()), left.lower(), re.DOTALL) is not None,
}


def _operate(value: Any, operator: str, literal: Any) -> bool:
    return OPERATIONS[operator](value, literal)


def _like(pattern: str) -> str:
    return "".join({"%": ".*", "_": "."}.get(character, re.escape(character)) for character in pattern)


def visible(row: Row, node: Node | None, *, ready: bool = False) -> bool:
    from catalogdb.query.tree import Filter  # noqa: PLC0415

    return Filter(node).names_field("state") or (row.state == "ready" if ready else row.state != "missing")


def search(rows: Sequence[Row], node: Node | None, order: Sequence[OrderKey] = ()) -> list[int]:
    found = [row for row in rows if visible(row, node) and evaluate(node, row) is True]

    def compared(left: Row, right: Row) -> int:
        for key in order:
            one, two = _lookup(key.ident, left), _lookup(key.ident, right)
            if one is None or two is None:
                if (one is None) != (two is None):
                    return -1 if (one is None) == key.nulls_first else 1
            elif one != two:
                return -1 if (one < two) != key.descending else 1
        return -1 if (left.root, left.path) < (right.root, right.path) else 1

    return [row.id for row in sorted(found, key=functools.cmp_to_key(compared))]


def rank(rows: Sequence[Row], metric: str, mode: str, node: Node | None, per: Ident | None = None) -> list[int]:
    found = []
    for row in rows:
        value = {**row.metrics, **row.run_metrics}.get(metric, math.nan)
        if visible(row, node, ready=True) and evaluate(node, row) is True and math.isfinite(value):
            step: Any = row.fields.get("global_step")
            key = (
                value if mode == "min" else -value,
                metric in row.run_metrics,
                math.inf if step is None else -step,
                row.path,
            )
            found.append((key, row))
    found.sort(key=lambda item: item[0])
    seen: set[Any] = set()
    best = []
    for _, row in found:
        group = None if per is None else _lookup(per, row)
        if per is None or (group is not None and group not in seen):
            seen.add(group)
            best.append(row.id)
    return best
