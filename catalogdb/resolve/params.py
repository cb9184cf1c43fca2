"""Nested documents as dotted, typed parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from catalogdb.config_facts import INTERPOLATION
from catalogdb.records import ParamGroup, Scalar

MAX_PARAMS = 4096
MAX_ITEMS = 32
MAX_TEXT = 4096
MAX_DEPTH = 32


def flatten(document: Mapping[str, object]) -> Iterator[tuple[str, Scalar]]:
    """``{"optimizer": {"lr": 0.1}}`` → ``("optimizer.lr", 0.1)``.

    Lists of at most 32 items give ``name.0``, ``name.1``; interpolations, ``???``, long texts and deeper structures
    are left out; at most 4,096 parameters.
    """
    stack: list[tuple[str, object, int]] = [(str(key), value, 1) for key, value in reversed(list(document.items()))]
    given = 0
    while stack and given < MAX_PARAMS:
        name, value, depth = stack.pop()
        if isinstance(value, dict):
            if depth < MAX_DEPTH:
                stack.extend((f"{name}.{key}", item, depth + 1) for key, item in reversed(list(value.items())))
        elif isinstance(value, (list, tuple)):
            if len(value) <= MAX_ITEMS and depth < MAX_DEPTH:
                items = reversed(list(enumerate(value)))
                stack.extend((f"{name}.{index}", item, depth + 1) for index, item in items)
        elif value is None or isinstance(value, (bool, int, float)) or _is_plain_text(value):
            given += 1
            yield name, value  # type: ignore[misc]  # narrowed by _is_plain_text, which mypy can't see


def _is_plain_text(value: object) -> bool:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return False
    return value.strip() != "???" and INTERPOLATION not in value


@lru_cache(maxsize=512)
def merge_params(first: tuple[ParamGroup, ...], second: tuple[ParamGroup, ...]) -> tuple[ParamGroup, ...]:
    """Both, without those of ``second`` that ``first`` names already. The checkpoints of a run share the answer."""
    known = {param.name for group in first for param in group.params}
    merged = list(first)
    for group in second:
        rest = tuple(param for param in group.params if param.name not in known)
        if rest:
            merged.append(group if len(rest) == len(group.params) else ParamGroup(rest))
    return tuple(merged)
