"""Events of roots, as far as the system gives them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Protocol

from catalogdb.daemon.hints import Hints


class Observing(Protocol):
    """Passes events on as hints, from a thread of its own; its methods are for one other thread. Roots and folders are
    absolute, real paths."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Ends its thread, where there is one."""

    def watch(self, root: str, suffixes: tuple[str, ...]) -> str | None:
        """Watches a root with all below it, from scratch; ``suffixes`` are those of checkpoints.

        Returns why that is not possible: its events can't be relied on then.
        """

    def unwatch(self, root: str) -> None: ...

    def renew(self, root: str, folders: Iterable[str]) -> str | None:
        """To be called before these folders of a root (there or gone) are looked at with all below them: what changes
        in them afterwards gives events. Returns why not, as ``watch`` does."""


def observing(hints: Hints) -> Observing:
    """What this system has."""
    if sys.platform == "linux":
        from catalogdb.daemon.inotify import InotifyObserving  # noqa: PLC0415 - can be imported on Linux alone

        return InotifyObserving(hints)
    from catalogdb.daemon.other_systems import WatchdogObserving  # noqa: PLC0415

    return WatchdogObserving(hints)
