"""What a column is called: a field, a part of a record, or an entry of one, as in ``metrics.val/loss``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import NamedTuple

from catalogdb.errors import UsageError
from catalogdb.query.fields import FIELDS, find_field, near_names
from catalogdb.query.literals import unquoted
from catalogdb.records import Weights

PARTS = ("metrics", "params", "tags", "weights")
"""The parts of a record whose entries are columns of their own."""

_WEIGHTS = tuple(item.name for item in fields(Weights))


class ColumnName(NamedTuple):
    """``part`` is None for a field, and for a part as a whole."""

    part: str | None
    name: str

    def __str__(self) -> str:
        return self.name if self.part is None else f"{self.part}.{self.name}"


def parse_column(
    text: str, *, asked_by: str, metrics: Collection[str], wholes: Collection[str], parts: Collection[str] = PARTS
) -> ColumnName:
    """A field by its name or a synonym, one of ``wholes``, or an entry of one of ``parts``.

    Raises UsageError, with near names, for one that no checkpoint can have; ``asked_by`` is what the error begins with.
    """
    part, dot, entry = text.partition(".")
    if dot and part in parts:
        name = unquote(entry)
        if part == "metrics" and name not in metrics:
            raise UsageError(f"{asked_by}: {text}: no checkpoint has this metric{_suggest(near_names(name, metrics))}")
        if part == "weights" and name not in _WEIGHTS:
            raise UsageError(f"{asked_by}: {text}: no such column{_suggest(near_names(name, _WEIGHTS))}")
        return ColumnName(part, name)
    name = unquote(text)
    field = find_field(name)
    if field is not None:
        return ColumnName(None, field.name)
    if name in wholes:
        return ColumnName(None, name)
    near = [f"metrics.{name}"] if name in metrics else near_names(name, [*FIELDS, *wholes])
    raise UsageError(f"{asked_by}: {text}: no such column{_suggest(near)}")


def unquote(name: str) -> str:
    """A name that may stand in `backticks` or "double quotes", a doubled one in it for one."""
    return unquoted(name) if len(name) > 1 and name[0] == name[-1] and name[0] in '`"' else name


def _suggest(near: Collection[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""
