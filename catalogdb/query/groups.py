"""The fields that checkpoints can be grouped by."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from catalogdb.errors import QueryError
from catalogdb.query.fields import FIELDS
from catalogdb.query.parse import parse_ident
from catalogdb.query.tree import Ident


def parse_group(text: str, *, metrics: Collection[str]) -> Ident:
    """Raises QueryError for an unknown field, and for a time."""
    ident = parse_ident(text, metrics=metrics)
    if _type(ident) == "time":
        raise QueryError(f"{ident.name!r} is a time, which hardly two checkpoints share; name another field")
    return ident


def as_value(ident: Ident, value: Any) -> Any:
    """What SQL gave for it, as a checkpoint has it: SQLite's truth is a number."""
    return bool(value) if _type(ident) == "bool" else value


def _type(ident: Ident) -> str:
    return FIELDS[ident.name].type if ident.kind == "field" else ""
