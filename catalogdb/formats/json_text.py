"""JSON that nobody vouches for, with bounds that hold before it is parsed."""

from __future__ import annotations

import json
from typing import Any

from catalogdb.formats.source import Refused

MAX_BRACES = 1_000_000
MAX_COMMAS = 2_000_000
MAX_WIDE = 25_000_000
"""Of a text that isn't ASCII: in memory it may take four times its bytes."""


def load_object(raw: bytes, what: str, *, nan: bool = False) -> dict[str, Any]:
    """The JSON object in ``raw``; Refused, naming ``what``, for anything else and for two entries of one name.

    ``nan`` lets NaN and Infinity through, as null: Python's own json writes them.
    """
    if raw.count(b"{") > MAX_BRACES or raw.count(b"[") > MAX_BRACES or raw.count(b",") > MAX_COMMAS:
        raise Refused(f"{what} has too many parts")
    if len(raw) > MAX_WIDE and not raw.isascii():
        raise Refused(f"{what} of {len(raw)} bytes that aren't ASCII")
    try:
        text = raw.decode("utf-8")
        del raw
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_null if nan else _constant)
    except RecursionError:
        raise Refused(f"{what} is nested too deep") from None
    except ValueError as error:
        raise Refused(f"{what} is no JSON: {str(error)[:80]}") from None
    if not isinstance(found, dict):
        raise Refused(f"{what} is no JSON object")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("two entries have one name")
    return made


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _null(name: str) -> None:
    return None
