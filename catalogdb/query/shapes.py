"""Filters that differ in their values alone are of one shape: they are parsed and compiled once.

``epoch > 3 AND params.lr = 0.1`` and ``epoch > 7 AND params.lr = 0.01`` have the same statements with other values. A
shape is a filter's text without its numbers and texts, which are found by the grammar's own words. It is compiled with
values that know their place in the text; where these come out in the statements, others are put the next time. A value
that the statements depend on stays part of what is remembered: a pattern, a time, a text that a param may equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from catalogdb.query.conditions import PATTERNS
from catalogdb.query.fields import FIELDS
from catalogdb.query.literals import number, unquoted
from catalogdb.query.parse import check_text, terminal
from catalogdb.query.plan import Statement, Ways
from catalogdb.query.tree import And, Between, Comparison, Fails, Filter, Ident, Membership, Node, Not, Or, Value
from catalogdb.store.memory import Memory

Literal = int | float | str

EXACT = 2**53
"""Numbers from here on are compared in another way than smaller ones."""
_WORDS = ("DATE", "AGO", "NUMBER", "TEXT", "QUOTED", "BACKTICKED", "NAME")
"""The first that fits is what a filter has at a place: as the grammar reads it where a value may stand."""


class Shape(NamedTuple):
    """What is left of a text without its literals: pieces of it, and between each two the literal's kind."""

    form: tuple[str, ...]
    written: tuple[str, ...]
    literals: tuple[Literal, ...]

    def columns(self) -> Iterator[int]:
        """Where the literals stand in the text."""
        column = 0
        for piece, written in zip(self.form[::2], self.written, strict=False):  # the last piece has none after it
            yield column + len(piece)
            column += len(piece) + len(written)


def shape_of(text: str) -> Shape:
    """Whether it can be parsed or not. Raises QueryError for what is no text."""
    check_text(text)
    form: list[str] = []
    written: list[str] = []
    literals: list[Literal] = []
    end = 0
    for word in _scanner().finditer(text) if text.strip() else ():
        literal = _literal(word)
        if literal is not None:
            form += (text[end : word.start()], str(word.lastgroup))
            written.append(word[0])
            literals.append(literal)
            end = word.end()
    form.append(text[end:])
    return Shape(tuple(form), tuple(written), tuple(literals))


def _literal(word: re.Match[str]) -> Literal | None:
    if word.lastgroup == "NUMBER":
        value = number(word[0])
        return value if -EXACT < value < EXACT else None
    return unquoted(word[0]) if word.lastgroup == "TEXT" else None


@lru_cache(maxsize=1)
def _scanner() -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{name}>{terminal(name)})" for name in _WORDS))


def compile_shape(
    memory: Memory, text: str, kind: Hashable, *, parse: Callable[[], Filter], compiled: Callable[[Filter], Ways]
) -> Ways:
    """What ``compiled(parse())`` gives for ``text``; ``kind`` is what else it depends on.

    Remembered unless it depends on when it is asked.
    """
    shape = shape_of(text)
    places, templates = memory.of("places"), memory.of("ways")
    free = places.get((shape.form, kind))
    if free is not None:
        known: list[_Template] | None = templates.get(_key(shape, kind, free))
        if known is not None:
            return tuple(template.filled(shape.literals) for template in known)
    parsed = parse()
    if parsed.depends_on_now:
        return compiled(parsed)
    found = [_template(way) for way in compiled(_marked(parsed, shape))]
    free = frozenset.intersection(*(template.places for template in found))
    places[shape.form, kind] = free
    templates[_key(shape, kind, free)] = found
    return tuple(template.filled(shape.literals) for template in found)


def _key(shape: Shape, kind: Hashable, free: frozenset[int]) -> Hashable:
    """With the literals that must stay, as they are written."""
    return shape.form, kind, tuple(None if place in free else word for place, word in enumerate(shape.written))


class _Template(NamedTuple):
    """A statement whose values may be others: ``holes`` are places among its parameters and among the literals."""

    statement: Statement
    holes: tuple[tuple[int, int], ...]

    @property
    def places(self) -> frozenset[int]:
        return frozenset(place for _, place in self.holes)

    def filled(self, literals: Sequence[Literal]) -> Statement:
        parameters = list(self.statement.parameters)
        for position, place in self.holes:
            parameters[position] = literals[place]
        return Statement(self.statement.sql, tuple(parameters))


class _Number(float):
    """A number that knows its place among the literals. It never reaches the database."""

    place: int

    def __new__(cls, value: int | float, place: int) -> _Number:
        known = super().__new__(cls, value)
        known.place = place
        return known


class _Text(str):
    """A text that knows its place among the literals. It never reaches the database."""

    __slots__ = ("place",)
    place: int

    def __new__(cls, value: str, place: int) -> _Text:
        known = super().__new__(cls, value)
        known.place = place
        return known


def _template(way: Statement) -> _Template:
    marked = ((position, value) for position, value in enumerate(way.parameters) if isinstance(value, _Number | _Text))
    return _Template(way, tuple((position, value.place) for position, value in marked))


def _marked(filter: Filter, shape: Shape) -> Filter:
    """The same filter with values that know their place, where all values of their type are compiled alike."""
    places = {column: place for place, column in enumerate(shape.columns())}

    def of_node(node: Node) -> Node:
        if isinstance(node, And | Or):
            return replace(node, parts=tuple(map(of_node, node.parts)))
        if isinstance(node, Not | Fails):
            return replace(node, part=of_node(node.part))
        if isinstance(node, Comparison) and node.operator not in PATTERNS:
            return replace(node, value=of_value(node.ident, node.value))
        if isinstance(node, Membership):
            return replace(node, values=tuple(of_value(node.ident, value) for value in node.values))
        if isinstance(node, Between):
            return replace(node, low=of_value(node.ident, node.low), high=of_value(node.ident, node.high))
        return node

    def of_value(ident: Ident, value: Value) -> Value:
        place = places.get(-1 if value.column is None else value.column)
        literal = None if place is None else shape.literals[place]
        if place is None or literal is None or value.value != literal:
            return value
        if isinstance(literal, str):
            return replace(value, value=_Text(literal, place)) if _takes_texts(ident) else value
        return replace(value, value=_Number(literal, place)) if _takes_numbers(ident) else value

    return filter if filter.root is None else replace(filter, root=of_node(filter.root))


def _takes_texts(ident: Ident) -> bool:
    """Whether it compares with all texts alike. A param doesn't: it may equal what Python writes so."""
    return ident.kind == "tag" or (ident.kind == "field" and FIELDS[ident.name].type == "text")


def _takes_numbers(ident: Ident) -> bool:
    """Whether it compares with all numbers alike. A time doesn't: they are seconds or milliseconds."""
    return ident.kind in ("metric", "param") or (ident.kind == "field" and FIELDS[ident.name].type in ("int", "float"))
