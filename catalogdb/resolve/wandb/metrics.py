"""Numbers out of what a run logged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

MAX_METRICS = 4096
MAX_DEPTH = 8
MAX_NAME = 512

TEXTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How W&B writes floats that JSON has no number for."""

BOOKKEEPING = frozenset({"epoch", "trainer/global_step", "global_step"})
"""What says when a row was logged: no metrics."""

_VALIDATION = ("val/", "val_", "valid/", "valid_", "validation/", "validation_", "eval/", "eval_", "test/", "test_")


def as_number(value: Any) -> float | None:
    """0.0 and NaN are numbers, true and "0.5" are none."""
    if type(value) is float:
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return None
    return TEXTS.get(value) if isinstance(value, str) else None


def as_step(value: Any) -> int | None:
    """A step, from the whole numbers and floats that it is logged as."""
    if type(value) is int:
        return value if 0 <= value < 2**63 else None
    number = as_number(value)
    if number is None or not math.isfinite(number) or not number.is_integer() or not 0 <= number < 2**63:
        return None
    return int(number)


def numbers_of(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """All numbers with their dotted names; W&B's own keys (``_step``, ``_wandb``) and bookkeeping are left out.

    Objects with a ``_type`` are media.
    """
    logged = ((name, value) for name, value in row.items() if not name.startswith("_") and name not in BOOKKEEPING)
    return islice(_numbers(logged, 0), MAX_METRICS)


def _numbers(items: Iterable[tuple[str, Any]], depth: int) -> Iterator[tuple[str, float]]:
    for name, value in items:
        if len(name) > MAX_NAME:
            continue
        if isinstance(value, dict):
            if "_type" not in value and depth < MAX_DEPTH:
                yield from _numbers(((f"{name}.{key}", inner) for key, inner in value.items()), depth + 1)
            continue
        number = as_number(value)
        if number is not None:
            yield name, number


def validation_key(summary: Mapping[str, Any]) -> str | None:
    """A metric that the run's validations logged, for a checkpoint whose callback monitors nothing."""
    names = [name for name, _ in numbers_of(summary)]
    for prefix in _VALIDATION[:8]:
        found = sorted(name for name in names if name.startswith(prefix) and not name.endswith(("_step", "/step")))
        if found:
            return found[0]
    return None
