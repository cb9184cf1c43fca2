"""What a filter means: a frozen tree, without a trace of SQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

Kind = Literal["field", "metric", "param", "tag"]
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "LIKE", "ILIKE", "~"]
Collection = Literal["tags", "aliases"]
Literal_ = bool | int | float | str | datetime | timedelta
"""A value in a filter: ``datetime`` is aware; ``timedelta`` is how long ago."""


@dataclass(frozen=True, slots=True)
class Ident:
    """What is compared. A field's name is the registry's own. ``column`` is where it stands in the text."""

    kind: Kind
    name: str
    column: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Value:
    value: Literal_
    column: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    ident: Ident
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Membership:
    """``ident [NOT] IN (values)``."""

    ident: Ident
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """``ident [NOT] BETWEEN low AND high``, both ends included."""

    ident: Ident
    low: Value
    high: Value
    negated: bool = False


@dataclass(frozen=True, slots=True)
class IsNull:
    ident: Ident
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Contains:
    """``'production' [NOT] IN tags``."""

    collection: Collection
    name: str
    negated: bool = False
    column: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


@dataclass(frozen=True, slots=True)
class Fails:
    """Whatever ``part`` doesn't match, what is unknown included. No text says this; MongoDB's negations do."""

    part: Node


Condition = Comparison | Membership | Between | IsNull | Contains
Node = Condition | And | Or | Not | Fails


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter. ``root`` is None where every checkpoint matches; ``text`` is for errors."""

    root: Node | None = None
    text: str = field(default="", compare=False)

    def names_field(self, name: str) -> bool:
        return any(ident.kind == "field" and ident.name == name for ident in iter_idents(self.root))

    @property
    def depends_on_now(self) -> bool:
        return any(isinstance(value.value, timedelta) for value in iter_values(self.root))


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One key of an ordering. Nulls (and NaN) come last in both directions unless ``nulls_first``."""

    ident: Ident
    descending: bool = False
    nulls_first: bool = False
    text: str = field(default="", compare=False)


def iter_conditions(node: Node | None) -> Iterator[Node]:
    """The leaves of the tree, left to right."""
    if isinstance(node, And | Or):
        for part in node.parts:
            yield from iter_conditions(part)
    elif isinstance(node, Not | Fails):
        yield from iter_conditions(node.part)
    elif node is not None:
        yield node


def iter_idents(node: Node | None) -> Iterator[Ident]:
    """Every name in the tree, left to right."""
    for leaf in iter_conditions(node):
        if isinstance(leaf, Comparison | Membership | Between | IsNull):
            yield leaf.ident


def iter_values(node: Node | None) -> Iterator[Value]:
    """Every value that something is compared with, left to right."""
    for leaf in iter_conditions(node):
        if isinstance(leaf, Comparison):
            yield leaf.value
        elif isinstance(leaf, Membership):
            yield from leaf.values
        elif isinstance(leaf, Between):
            yield from (leaf.low, leaf.high)


def conjuncts(node: Node | None) -> list[Node]:
    """The parts that must all hold: those of the AND at the top, with ANDs inside it flattened."""
    if node is None:
        return []
    if isinstance(node, And):
        return [inner for part in node.parts for inner in conjuncts(part)]
    return [_listed(node)]


def _listed(node: Node) -> Node:
    """``x = 1 OR x = 2`` as ``x IN (1, 2)``, which is the same and may lead a statement."""
    if not isinstance(node, Or):
        return node
    values: list[Value] = []
    idents: set[Ident] = set()
    for part in node.parts:
        if isinstance(part, Comparison) and part.operator == "=":
            values.append(part.value)
        elif isinstance(part, Membership) and not part.negated:
            values.extend(part.values)
        else:
            return node
        idents.add(part.ident)
    return Membership(idents.pop(), tuple(values)) if len(idents) == 1 else node
