"""OmegaConf's ``${a.b}`` in a config, filled in from the same document; what a resolver has to say stays.

(https://omegaconf.readthedocs.io, "Variable interpolation".) What leads to a mapping or a list becomes it. Sections
without any are returned as they are: documents share equal sections, and whoever has seen one knows it again by its
identity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MARK = "${"
MAX_DEPTH = 16
"""Of interpolations that lead to others, and of mappings."""

MAX_TEXT = 4096
MAX_NODES = 4096
"""Items of mappings and lists that the interpolations of one section lead to: two that name two that name two …"""

MAX_KNOWN = 4096

_INNER = re.compile(r"\$\{\s*(\.*[^\s{}$:,']+)\s*\}")

_clean: dict[int, object] = {}
"""Sections without interpolations, by identity."""

_known: dict[int, tuple[object, tuple[tuple[str, object], ...], Any]] = {}
"""A section by identity, what it led to at the top of its document, and the section filled in with that."""


def interpolated(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document with every interpolation filled in that the document itself answers."""
    marked = {name for name, value in document.items() if _has_mark(value)}
    if not marked:
        return document
    return {name: _section(name, value, document) if name in marked else value for name, value in document.items()}


def _section(name: str, value: Any, document: Mapping[str, Any]) -> Any:
    """A section, filled in; the one that is known where all it leads to is the same: it is shared further."""
    known = _known.get(id(value))
    if known is not None and known[0] is value and all([document.get(top) is item for top, item in known[1]]):
        return known[2]
    filling = _Filling(document)
    filled = filling.fill(value, (name,))
    if isinstance(value, (dict, list)):
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[id(value)] = value, tuple((top, document.get(top)) for top in filling.led_to), filled
    return filled


def _has_mark(value: object) -> bool:
    if isinstance(value, str):
        return MARK in value
    if not isinstance(value, (dict, list)) or _clean.get(id(value)) is value:
        return False
    if _is_marked(value):
        return True
    if len(_clean) >= MAX_KNOWN:
        _clean.clear()
    _clean[id(value)] = value
    return False


def _is_marked(value: dict[str, Any] | list[Any]) -> bool:
    """Whether a mark stands anywhere in it. Documents are as deep as they may be: 64 levels."""
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, str):
            if MARK in item:
                return True
        elif isinstance(item, (dict, list)) and _is_marked(item):
            return True
    return False


class _Filling:
    """Fills in one section. ``led_to`` are the names at the top of the document that it asked for."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._within: list[tuple[str, ...]] = []
        self._nodes_left = MAX_NODES
        self.led_to: set[str] = set()

    def fill(self, value: Any, place: tuple[str, ...], depth: int = MAX_DEPTH) -> Any:
        if isinstance(value, str):
            return self._resolve(value, place, depth) if MARK in value else value
        if len(place) > MAX_DEPTH or self._nodes_left < 0:
            return value
        if self._within and isinstance(value, (dict, list)):
            self._nodes_left -= len(value)
        if isinstance(value, dict):
            return {name: self.fill(item, (*place, name), depth) for name, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item, (*place, str(index)), depth) for index, item in enumerate(value)]
        return value

    def _resolve(self, text: str, place: tuple[str, ...], depth: int) -> Any:
        """The value of a text; the text itself where one of its interpolations has no answer here."""
        whole = _INNER.fullmatch(text.strip())
        if whole is not None:
            found = self._at(whole[1], place, depth)
            return text if found is _UNKNOWN else found
        filled = text
        for _ in range(MAX_DEPTH):
            inner = _INNER.search(filled)
            if inner is None:
                return filled
            found = self._at(inner[1], place, depth)
            if found is _UNKNOWN or isinstance(found, (dict, list)) or len(filled) > MAX_TEXT:
                return text
            filled = f"{filled[: inner.start()]}{found}{filled[inner.end() :]}"
        return text

    def _at(self, key: str, place: tuple[str, ...], depth: int) -> Any:
        """What stands at a key: from the top, or with leading dots from the mapping that it stands in, up."""
        path = key.lstrip(".")
        dots = len(key) - len(path)
        names = tuple(part for part in re.split(r"[.\[\]]+", path) if part)
        if dots:
            if dots > len(place):
                return _UNKNOWN
            names = (*place[: len(place) - dots], *names)
        self.led_to.update(names[:1])
        value: Any = self._document
        for name in names:
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            else:
                return _UNKNOWN
        if isinstance(value, (dict, list)):
            return self._node(value, names, place, depth)
        if isinstance(value, str) and MARK in value:
            if depth == 0:
                return _UNKNOWN
            value = self._resolve(value, names, depth - 1)
            return _UNKNOWN if isinstance(value, str) and MARK in value else value
        return value

    def _node(self, value: Any, names: tuple[str, ...], place: tuple[str, ...], depth: int) -> Any:
        """A mapping or a list, filled in; what stands inside itself has no value."""
        if depth == 0 or self._nodes_left < 0 or names in self._within or place[: len(names)] == names:
            return _UNKNOWN
        self._within.append(names)
        filled = self.fill(value, names, depth - 1)
        self._within.pop()
        return filled


_UNKNOWN = object()
