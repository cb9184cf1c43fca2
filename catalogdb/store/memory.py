"""What a reading connection remembers between two questions, as long as nobody has written meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")

ENTRIES = 512
"""Of each kind, before that kind is forgotten as a whole."""


class Memory:
    """Values by kind and key, of one state of the file. ``keeps`` is False for a connection that writes as well:
    SQLite tells it of the commits of others alone."""

    def __init__(self, *, keeps: bool) -> None:
        self._keeps = keeps
        self._version: int | None = None
        self._kinds: dict[str, dict[Any, Any]] = {}

    def begin(self, raw: sqlite3.Connection) -> None:
        """Forgets what may no longer hold. It reads, and so fixes the state that the transaction around it sees."""
        version = raw.execute("PRAGMA data_version").fetchone()[0] if self._keeps else None
        if version is None or version != self._version:
            self._kinds = {}
            self._version = version

    def of(self, kind: str) -> dict[Any, Any]:
        """The values of a kind by their keys, to read and to add to."""
        found = self._kinds.get(kind)
        if found is None or len(found) > ENTRIES:
            found = self._kinds[kind] = {}
        return found

    def get(self, kind: str, key: Hashable, make: Callable[[], Any]) -> Any:
        known = self.of(kind)
        if key not in known:
            known[key] = make()
        return known[key]

    def get_all(self, kind: str, keys: set[K], make: Callable[[set[K]], Mapping[K, V]]) -> dict[K, V]:
        """The values of some keys; those that aren't known are made together. What nothing is made of is left out."""
        known = self.of(kind)
        found = {key: known[key] for key in keys if key in known}
        if len(found) < len(keys):
            new = make(keys - found.keys())
            known.update(new)
            found.update(new)
        return found
