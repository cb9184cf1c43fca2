"""What SQLite is given to read parameters with, and what it is allowed to do for a user's own SQL."""

from __future__ import annotations

import sqlite3
from typing import Any

from catalogdb.records import Scalar


def scalar(kind: str, value: Any) -> Scalar:
    """A parameter as it was before it was stored."""
    if kind == "bool":
        return bool(value)
    if kind == "int":
        return int(value)
    if kind == "float":
        return float("nan") if value is None else float(value)
    return None if kind == "null" else str(value)


def param_text(kind: str, value: Any) -> str:
    """A parameter as Python's ``str`` writes it, which is how MLflow stores it."""
    return str(scalar(kind, value))


def lower_text(value: Any) -> str | None:
    return None if value is None else str(value).lower()


_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})


def only_reading(action: int, _first: str | None, second: str | None, *_where: str | None) -> int:
    """An authorizer: SELECT over tables, views and functions. No PRAGMA, ATTACH, write or extension."""
    if action == sqlite3.SQLITE_FUNCTION and second == "load_extension":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def anything(*_request: Any) -> int:
    return sqlite3.SQLITE_OK
