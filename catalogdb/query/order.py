"""Orderings as SQL: what sorts, and what comes after a row that was already given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from catalogdb.query.conditions import Conditions, Sql
from catalogdb.query.tree import Ident, OrderKey


@dataclass(frozen=True, slots=True)
class SortKey:
    """One expression that sorts. ``may_be_null`` says whether nulls need thought."""

    operand: Sql
    descending: bool = False
    nulls_first: bool = False
    may_be_null: bool = True

    @property
    def sql(self) -> Sql:
        down = " DESC" if self.descending else ""
        if not self.may_be_null:
            return Sql(self.operand.text + down, self.operand.values)
        # In SQLite nulls are small: said only where it changes something, so that an index can give the order.
        place = "" if self.nulls_first != self.descending else (" NULLS FIRST" if self.nulls_first else " NULLS LAST")
        return Sql(f"({self.operand.text}){down}{place}", self.operand.values)


BY_PATH = (SortKey(Sql("r.path"), may_be_null=False), SortKey(Sql("c.rel_path"), may_be_null=False))
"""By root, then inside the root: roots never overlap, and so no sorting is needed where rows are read in this order."""


def sort_keys(conditions: Conditions, order: Sequence[OrderKey]) -> list[SortKey]:
    """The keys of an ordering, with those that leave no two rows alike at the end."""
    keys: list[SortKey] = []
    unique = False
    for key in order:
        if key.ident == Ident("field", "path"):
            keys.extend(replace(item, descending=key.descending) for item in BY_PATH)
        else:
            operand = replace(conditions, text=key.text).operand(key.ident)
            keys.append(SortKey(operand, key.descending, key.nulls_first))
        unique = unique or (key.ident.kind == "field" and key.ident.name in ("id", "path"))
    return keys if unique else [*keys, *BY_PATH]


def order_by(keys: Sequence[SortKey]) -> list[Sql]:
    return [key.sql for key in keys]


def follows(keys: Sequence[SortKey], values: Sequence[Any]) -> list[Sql]:
    """The conditions that hold for rows after the one with these values. What bounds an index is said on its own."""
    found: Sql | None = None
    for key, value in reversed(list(zip(keys, values, strict=True))):
        later = _later(key, value)
        if found is None:
            found = later
        else:
            same = Sql(f"({key.operand.text}) IS ?", (*key.operand.values, value))
            text = f"({later.text} OR ({same.text} AND {found.text}))"
            found = Sql(text, (*later.values, *same.values, *found.values))
    return [*_bounds(keys, values), *([found] if found is not None else [])]


def _later(key: SortKey, value: Any) -> Sql:
    operand = key.operand
    if value is None:
        return Sql(f"({operand.text}) IS NOT NULL", operand.values) if key.nulls_first else Sql("0")
    compared = Sql(f"({operand.text}) {'<' if key.descending else '>'} ?", (*operand.values, value))
    if key.nulls_first or not key.may_be_null:
        return compared
    return Sql(f"({compared.text} OR ({operand.text}) IS NULL)", (*compared.values, *operand.values))


def _bounds(keys: Sequence[SortKey], values: Sequence[Any]) -> list[Sql]:
    """What follows from the rest, in a form that an index can start from: a metric's column, the paths of a root."""
    first, value = keys[0], values[0]
    if first.operand.text == "m.value" and value is not None:
        return [Sql(f"m.value {'<=' if first.descending else '>='} ?", (value,))]
    within = keys[1] if len(keys) > 1 else first
    by_path = (first.operand.text, within.operand.text) == ("r.path", "c.rel_path")
    if by_path and not first.descending and not within.descending:
        return [
            Sql("c.rel_path > CASE r.path WHEN ? THEN ? ELSE '' END", (value, values[1])),
            Sql("r.path >= ?", (value,)),
        ]
    return []
