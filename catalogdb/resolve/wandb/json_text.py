"""JSON of runs: what a server, or a file that training wrote, says it is; bounded before and while it is parsed."""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 100


class BadJson(ValueError):
    """Text that isn't JSON, or that is nested deeper than any run's."""


def parse(text: str | bytes) -> Any:
    """The value. NaN and Infinity are floats, as Python's own ``json`` writes them. Raises BadJson."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise BadJson("nested too deep") from None
    except ValueError:
        raise BadJson("isn't JSON") from None
    if _opens(text) > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise BadJson("nested too deep")
    return value


def parse_object(text: str | bytes) -> dict[str, Any]:
    value = parse(text)
    if not isinstance(value, dict):
        raise BadJson("isn't a JSON object")
    return value


def _opens(text: str | bytes) -> int:
    if isinstance(text, bytes):
        return text.count(b"{") + text.count(b"[")
    return text.count("{") + text.count("[")


def _depth(value: Any) -> int:
    depth = 0
    level = [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return depth
