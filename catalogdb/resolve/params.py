"""Nested documents as dotted, typed parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice

from catalogdb.config_facts import INTERPOLATION
from catalogdb.records import ParamGroup, Scalar

MAX_PARAMS = 4096
MAX_ITEMS = 32
MAX_TEXT = 4096
MAX_DEPTH = 32
MAX_MAPPINGS = 1024


def flatten(document: Mapping[str, object]) -> Iterator[tuple[str, Scalar]]:
    """``{"optimizer": {"lr": 0.1}}`` → ``("optimizer.lr", 0.1)``.

    Lists of at most 32 items give ``name.0``, ``name.1``; interpolations, ``???``, long texts and deeper structures
    are left out; at most 4,096 parameters.
    """
    return islice(_flat("", document.items(), 1), MAX_PARAMS)


def _flat(prefix: str, items: Iterable[tuple[object, object]], depth: int) -> Iterator[tuple[str, Scalar]]:
    for key, value in items:
        if isinstance(value, dict):
            if depth < MAX_DEPTH:
                yield from _flat(f"{prefix}{key}.", value.items(), depth + 1)
        elif isinstance(value, (list, tuple)):
            if len(value) <= MAX_ITEMS and depth < MAX_DEPTH:
                yield from _flat(f"{prefix}{key}.", enumerate(value), depth + 1)
        elif value is None or isinstance(value, (bool, int, float)) or _is_plain_text(value):
            yield f"{prefix}{key}", value  # type: ignore[misc]  # narrowed by _is_plain_text, which mypy can't see


def _is_plain_text(value: object) -> bool:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return False
    return value.strip() != "???" and INTERPOLATION not in value


def mappings(name: str, section: Mapping[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    """The mappings of a section, each with the dotted prefix of its names and what stands directly in it."""
    stack: list[tuple[str, Mapping[str, object]]] = [(f"{name}.", section)]
    while stack:
        prefix, mapping = stack.pop()
        direct: dict[str, object] = {}
        for inner, item in mapping.items():
            if isinstance(item, dict) and len(stack) < MAX_MAPPINGS:
                stack.append((f"{prefix}{inner}.", item))
            else:
                direct[inner] = item
        yield prefix, direct


@lru_cache(maxsize=512)
def merge_params(first: tuple[ParamGroup, ...], second: tuple[ParamGroup, ...]) -> tuple[ParamGroup, ...]:
    """Both, without those of ``second`` that ``first`` names already. The checkpoints of a run share the answer."""
    known = {name for group in first for name in group.values}
    merged = list(first)
    for group in second:
        named = tuple([name for name in group.values if name in known])
        rest = _without(group, named) if named else group
        if rest is not None:
            merged.append(rest)
    return tuple(merged)


@lru_cache(maxsize=4096)
def _without(group: ParamGroup, names: tuple[str, ...]) -> ParamGroup | None:
    """What is left of a group; None for nothing. Runs that share the group and the names share the answer."""
    rest = {name: value for name, value in group.values.items() if name not in names}
    return ParamGroup(rest) if rest else None
