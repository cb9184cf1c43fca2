"""Columns of one type each, for Parquet and polars: a catalog's values have whatever type training gave them.

A column's kind grows with its values, and none of them is bent to fit: integers among floats become floats where that
is exact, and what shares no type becomes text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

Kind = Literal["null", "bool", "int", "long", "float", "text"]
"""``int`` is one that a double holds exactly, ``long`` any other of 64 bits."""

EXACT = 2**53
LONG = 2**63


def kind_of(value: Any) -> Kind:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -EXACT <= value <= EXACT else "long" if -LONG <= value < LONG else "text"
    return "float" if isinstance(value, float) else "text"


def widest(kinds: Iterable[Kind]) -> Kind:
    """The narrowest kind that holds values of all of these."""
    found = set(kinds) - {"null"}
    if len(found) <= 1:
        return next(iter(found), "null")
    if found == {"int", "long"}:
        return "long"
    return "float" if found == {"int", "float"} else "text"


def fitted(value: Any, kind: Kind) -> Any:
    """A value as its column holds it."""
    if value is None:
        return None
    if kind == "float":
        return float(value)
    return as_text(value) if kind == "text" else value


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    return repr(value) if isinstance(value, int | float) else json.dumps(value, ensure_ascii=False)
