"""What events said: paths that wait to be looked at, each once, and no more of them than are bearable.

An event is a hint, not a fact. A path that was closed, moved or deleted is looked at once its burst is over. One that
was created, or is being written, is looked at when its size and time were the same at two looks; a file that was there
before is looked at when its first byte is written, too, since what is known of it no longer holds. However long a
file goes on changing, it's looked at every second.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

HintKind = Literal["done", "created", "modified"]

QUIET_SECONDS = 0.02
"""After the first event of a burst, the rest of it is awaited."""

LOOK_SECONDS = 0.25
"""Between two looks at a file that is being written."""

PATIENCE_SECONDS = 1.0
"""For a file that changes at every look."""

LIMIT = 20_000
"""Paths that may wait. Beyond, their root is reconciled instead: that takes no memory."""


class Hint(NamedTuple):
    """A path of a root, absolute both, that is ready to be looked at."""

    root: str
    path: str
    is_file: bool


@dataclass(slots=True)
class _Waiting:
    root: str
    is_file: bool
    due: float
    taken: float
    is_done: bool = False
    is_urgent: bool = False
    stamp: tuple[int, int] | None = None


QUEUE_WAS_FULL = "the queue was full"


class Hints:
    """May be told of events from any thread; ``take`` and ``wait`` are for the one that looks."""

    def __init__(self, *, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}
        self._distrusted: dict[str, str] = {}
        self._is_woken = False
        self._changed = threading.Condition()
        self.count = 0
        self.last_at: float | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def note(self, root: str, path: str, kind: HintKind, *, is_file: bool = True) -> None:
        """An event."""
        now = self._clock()
        with self._changed:
            self.count += 1
            self.last_at = time.time()
            waiting = self._waiting.get(path)
            if waiting is None:
                waiting = self._wait(root, path, now, is_file)
            elif kind != "done":
                return
            if kind == "done":
                waiting.is_done = True
                waiting.is_file &= is_file  # rows below a folder that was there have to go, too
                waiting.due = min(waiting.due, now + QUIET_SECONDS)
            elif kind == "modified":
                waiting.is_urgent = True
                waiting.due = now + QUIET_SECONDS
            self._changed.notify()

    def again(self, root: str, path: str, seconds: float) -> None:
        """Has a file looked at after some time, if nothing happens before."""
        with self._changed:
            if path not in self._waiting:
                waiting = self._wait(root, path, self._clock(), True)
                waiting.is_done = True
                waiting.due = self._clock() + seconds
            self._changed.notify()

    def overflow(self, root: str) -> None:
        """Events of a root were lost."""
        self.distrust(root, QUEUE_WAS_FULL)

    def distrust(self, root: str, why: str) -> None:
        """Hints can't tell of a root what has to be looked at: all of it has."""
        with self._changed:
            self._distrusted[root] = why
            self._forget(root)
            self._changed.notify()

    def forget(self, root: str) -> None:
        """Nothing of a root has to wait any more: all of it was looked at, or it can't be."""
        with self._changed:
            self._distrusted.pop(root, None)
            self._forget(root)

    def take(self) -> tuple[list[Hint], dict[str, str]]:
        """What is due, and the roots of which all has to be looked at, with the reason."""
        now = self._clock()
        with self._changed:
            due = [(path, waiting) for path, waiting in self._waiting.items() if waiting.due <= now]
            distrusted, self._distrusted = self._distrusted, {}
            self._is_woken = False
        ready = [
            Hint(waiting.root, path, waiting.is_file) for path, waiting in due if self._is_ready(path, waiting, now)
        ]
        return ready, distrusted

    def wait(self, seconds: float) -> None:
        """Until something is due, at most for so long."""
        with self._changed:
            now = self._clock()
            end = now + seconds
            while not self._distrusted and not self._is_woken and now < end:
                first = min((waiting.due for waiting in self._waiting.values()), default=end)
                if first <= now:
                    return
                self._changed.wait(min(first, end) - now)
                now = self._clock()

    def wake(self) -> None:
        """Ends a ``wait``."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def _is_ready(self, path: str, waiting: _Waiting, now: float) -> bool:
        stamp = None if waiting.is_done else _stamp(path)
        with self._changed:
            settled = waiting.is_done or stamp is None or stamp == waiting.stamp
            if settled:
                if self._waiting.get(path) is waiting:
                    del self._waiting[path]
                return True
            ready = waiting.is_urgent or now - waiting.taken >= PATIENCE_SECONDS
            if ready:
                waiting.taken = now
            waiting.is_urgent = False
            waiting.stamp = stamp
            waiting.due = now + LOOK_SECONDS
            return ready

    def _wait(self, root: str, path: str, now: float, is_file: bool) -> _Waiting:
        if len(self._waiting) >= self._limit:
            self._distrusted[root] = QUEUE_WAS_FULL
            self._forget(root)
        waiting = self._waiting[path] = _Waiting(root, is_file, now + LOOK_SECONDS, now)
        return waiting

    def _forget(self, root: str) -> None:
        self._waiting = {path: waiting for path, waiting in self._waiting.items() if waiting.root != root}


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - one for each look
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
