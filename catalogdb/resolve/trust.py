"""Whose value counts, by where a value was read; and what is said where two of them disagree."""

from __future__ import annotations

import math
from collections.abc import Mapping

from catalogdb.headlines import HEADLINES
from catalogdb.records import Origin, OriginRole, Scope, Value

OF_CHECKPOINT: tuple[OriginRole, ...] = (
    "embedded",
    "sidecar",
    "metrics",
    "header",
    "state",
    "wandb",
    "config",
    "params",
    "name",
)
"""Of this file at its step: the record inside it, the sidecar, a metrics file on that very step, the file itself, what
training wrote down of it, W&B at that step, and last its name, which is rounded."""

OF_RUN: tuple[OriginRole, ...] = (
    "embedded",
    "sidecar",
    "wandb",
    "header",
    "config",
    "params",
    "metrics",
    "state",
    "name",
)
"""Of the run as a whole. Such a value never counts where one of the checkpoint is known."""

RANKS: Mapping[tuple[OriginRole, Scope], int] = {
    **{(role, "checkpoint"): place for place, role in enumerate(OF_CHECKPOINT)},
    **{(role, "run"): len(OF_CHECKPOINT) + place for place, role in enumerate(OF_RUN)},
}

COMPARED = frozenset({"epoch", "global_step", *HEADLINES})
"""Fields that are numbers of one step. Others differ by their nature: a folder's name is no experiment's."""

COUNTERS = ("epoch", "global_step")
"""What a checkpoint states of itself as nobody else can: its own header counts more than the sidecar beside it."""

SAME = 1e-6
"""Numbers this close, relatively, are one number: scores pass through 32 bits."""

DIGITS = 2
"""Significant digits from which on a number may be another one, rounded: people write down 0.84."""

ALL_DIGITS = 17

_PLACES: Mapping[OriginRole, str] = {
    "embedded": "the record in the file",
    "sidecar": "the sidecar",
    "header": "the file",
    "wandb": "W&B",
    "name": "the file's name",
}


def rank(origin: Origin) -> int:
    """The lower, the more it counts."""
    return RANKS[origin.role, origin.scope]


def states_itself(name: str, value: Value) -> bool:
    """Whether this is a counter in the checkpoint's own header."""
    return value.origin.role == "header" and name in COUNTERS


def prefer(first: Mapping[str, Value], second: Mapping[str, Value], *, same_order: bool = False) -> dict[str, Value]:
    """Both, each name with the value that counts more; ``first`` where they count the same.

    ``same_order`` says that all of ``first`` counts at least as much as ``second``.
    """
    both = dict(second.items())
    if same_order:
        both.update(first.items())
        return both
    for name, value in first.items():
        other = both.get(name)
        if other is None or rank(value.origin) <= rank(other.origin):
            both[name] = value
    return both


def disagreements(first: Mapping[str, Value], second: Mapping[str, Value]) -> list[tuple[str, Value, Value]]:
    """Names with two values of this file at its step that differ beyond rounding, the one that counts first."""
    found = []
    others = dict(second.items())
    pairs = [(name, value, others[name]) for name, value in first.items() if name in others]
    for name, *both in sorted(pair for pair in pairs if pair[1].value != pair[2].value):
        one, other = sorted(both, key=lambda value: rank(value.origin))
        if one.origin.role == "sidecar" and states_itself(name, other):
            one, other = other, one
        if one.origin.scope == other.origin.scope == "checkpoint" and not agree(one, other):
            found.append((name, one, other))
    return found


def agree(one: Value, other: Value) -> bool:
    """Whether two numbers are the same, or one is the other, rounded. NaN is no value, and agrees with any."""
    first, second = float(one.value), float(other.value)
    if math.isnan(first) or math.isnan(second) or math.isclose(first, second, rel_tol=SAME):
        return True
    if math.isinf(first) or math.isinf(second):
        return False
    decimals = min(_decimals(one), _decimals(other))
    return abs(first - second) <= 0.5 * 10.0**-decimals * (1 + SAME)


def _decimals(value: Value) -> int:
    """How many decimals a number is good for: those that a name states, else those it has, and two digits at least."""
    if value.origin.role == "name":
        return len(value.origin.key.rpartition(".")[2]) if "." in value.origin.key else 0
    number = abs(float(value.value))
    text = repr(number)
    if number == 0 or "e" in text:
        return ALL_DIGITS
    return max(len(text.rpartition(".")[2]), DIGITS - 1 - math.floor(math.log10(number)))


def difference(name: str, one: Value, other: Value) -> str:
    """``val/loss is 0.31 by ../metrics.csv, but 0.44 by the file's name``."""
    return f"{name} is {_said(one)}, but {_said(other)}"


def _said(value: Value) -> str:
    origin = value.origin
    number = f"{value.value:.6g}" if isinstance(value.value, float) else str(value.value)
    return f"{number} by {_PLACES.get(origin.role, origin.path)}"
