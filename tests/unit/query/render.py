"""A tree as the text that parses to it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from catalogdb.query.tree import (
    And,
    Between,
    Comparison,
    Contains,
    Fails,
    Ident,
    IsNull,
    Literal_,
    Membership,
    Node,
    Not,
    Or,
    OrderKey,
)

_PREFIXES = {"metric": "metrics.", "param": "params.", "tag": "tags.", "field": "attributes."}


def render(node: Node | None) -> str:
    """The filter's text; ``""`` for None. Raises ValueError for ``Fails``, which text has no word for."""
    if node is None:
        return ""
    if isinstance(node, And):
        return " AND ".join(_inner(part, (And, Or)) for part in node.parts)
    if isinstance(node, Or):
        return " OR ".join(_inner(part, (Or,)) for part in node.parts)
    if isinstance(node, Not):
        return f"NOT {_inner(node.part, (And, Or))}"
    if isinstance(node, Fails):
        raise ValueError(f"no filter's text says {node!r}")
    return _condition(node)


def _inner(node: Node, loose: tuple[type, ...]) -> str:
    text = render(node)
    return f"({text})" if isinstance(node, loose) else text


def _condition(node: Comparison | Membership | Between | IsNull | Contains) -> str:
    if isinstance(node, Contains):
        return f"{render_value(node.name)} {'NOT ' * node.negated}IN {node.collection}"
    name = render_ident(node.ident)
    if isinstance(node, Comparison):
        return f"{name} {node.operator} {render_value(node.value.value)}"
    if isinstance(node, Membership):
        values = ", ".join(render_value(value.value) for value in node.values)
        return f"{name} {'NOT ' * node.negated}IN ({values})"
    if isinstance(node, Between):
        low, high = render_value(node.low.value), render_value(node.high.value)
        return f"{name} {'NOT ' * node.negated}BETWEEN {low} AND {high}"
    return f"{name} IS {'NOT ' * node.negated}NULL"


def render_ident(ident: Ident) -> str:
    """The name with its prefix where it needs one: ``epoch``, ``metrics.`val/hmean` ``."""
    if ident.kind == "field":
        return ident.name
    name = ident.name.replace("`", "``")
    return f"{_PREFIXES[ident.kind]}`{name}`"


def render_order(keys: tuple[OrderKey, ...]) -> str:
    return ", ".join(
        render_ident(key.ident) + " DESC" * key.descending + " NULLS FIRST" * key.nulls_first for key in keys
    )


def render_value(value: Literal_) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    if isinstance(value, timedelta):
        return f"-{round(value.total_seconds())}s"
    return repr(value)
