"""When W&B may have something new to say of a root's rows: of runs that were still going, or could not be asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from catalogdb.records import Resolution

LONGEST_PAUSE = 60.0
"""Between two questions, so that runs that expire one after the other are asked for together."""

CACHE_SHARE = 0.25
"""Of the time that an answer lasts: the pause where that is shorter."""

LONGEST_BACKOFF = 900.0
"""Between two questions to a server that doesn't answer; from the pause on, doubled each time."""


class Freshness:
    """One root's. ``lifetime`` is how long an answer lasts, in seconds, 0 for not at all; ``clock`` gives seconds since
    the epoch."""

    def __init__(self, lifetime: Callable[[], float], *, clock: Callable[[], float] = time.time) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._due: float | None = None
        self._backoff: float | None = None

    @property
    def is_due(self) -> bool:
        return self._due is not None and self._due <= self._clock()

    def note(self, resolution: Resolution) -> None:
        """A row that was written."""
        if resolution.recheck_at is not None:
            self._hurry(max(_seconds(resolution.recheck_at), self._clock() + self._pause()))
        elif resolution.recheck and resolution.failed:
            self._hurry(self._clock() + (self._backoff or self._pause()))

    def asked(self, *, is_answered: bool, moment: str | None) -> None:
        """All that was due; ``moment`` is when more will be (ISO 8601)."""
        pause = self._pause()
        if is_answered:
            self._backoff = None
            self._due = None if moment is None else max(_seconds(moment), self._clock() + pause)
        else:
            self._backoff = min(2 * self._backoff, LONGEST_BACKOFF) if self._backoff is not None else pause
            self._due = self._clock() + self._backoff

    def _hurry(self, moment: float) -> None:
        self._due = moment if self._due is None else min(self._due, moment)

    def _pause(self) -> float:
        lifetime = self._lifetime()
        return min(LONGEST_PAUSE, CACHE_SHARE * lifetime) if lifetime else LONGEST_PAUSE


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
