"""A layout of another package: what it raises ends no scan."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from catalogdb.layouts.base import Dependency, Guide, Layout, Listing, Monitor, Position, Seen
from catalogdb.layouts.names import Claim, claims_of

T = TypeVar("T")
MEMBERS = ("name", "guide", "marks", "tells", "frameworks", "depends", "position", "claims", "monitor")
"""Of a layout."""

logger = logging.getLogger(__name__)


class Foreign:
    """Asks the layout. Where it raises, it has nothing to say; the log has a warning, once for each of its methods."""

    def __init__(self, layout: Layout) -> None:
        """Raises TypeError for what is no layout."""
        missing = [name for name in MEMBERS if not hasattr(layout, name)]
        if missing:
            raise TypeError(f"it is no layout, without {', '.join(missing)}")
        self._layout = layout
        self._said: set[str] = set()
        self.name: str = layout.name
        self.guide: Guide = layout.guide
        self.marks = frozenset(layout.marks)
        self.tells = frozenset(layout.tells)
        self.frameworks = frozenset(layout.frameworks)

    def depends(self, folder: Listing) -> Iterable[Dependency]:
        return self._asked("depends", lambda: [*self._layout.depends(folder)], [])

    def position(self, seen: Seen) -> Position:
        return self._asked("position", lambda: self._layout.position(seen), Position())

    def claims(self, seen: Seen) -> frozenset[Claim]:
        return self._asked("claims", lambda: frozenset(self._layout.claims(seen)), claims_of(seen.own_name))

    def monitor(self, seen: Seen) -> Monitor | None:
        return self._asked("monitor", lambda: self._layout.monitor(seen), None)

    def _asked(self, method: str, ask: Callable[[], T], nothing: T) -> T:
        try:
            return ask()
        except Exception as error:  # noqa: BLE001  # it may raise whatever its author didn't think of
            if method not in self._said:
                self._said.add(method)
                logger.warning("the layout %s failed in %s: %s: %s", self.name, method, type(error).__name__, error)
            return nothing
