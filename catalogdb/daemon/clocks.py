"""Signs that the world went on without us: a clock that was set, a machine that slept, a process that was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

JUMP_SECONDS = 5.0
"""Clocks that differ by less are being slewed."""


def boot_time() -> float:
    """Seconds since the machine was started, those that it slept among them, where the system counts them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.monotonic()


class Clocks:
    """Compares three clocks at every look."""

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        awake: Callable[[], float] = time.monotonic,
        boot: Callable[[], float] = boot_time,
    ) -> None:
        self._clocks = wall, awake, boot
        self._last = [clock() for clock in self._clocks]

    def jump(self, *, expected: float) -> str | None:
        """What happened since the last look, which was to be ``expected`` seconds ago at most; None for nothing."""
        before, self._last = self._last, [clock() for clock in self._clocks]
        wall, awake, boot = (now - then for now, then in zip(self._last, before, strict=True))
        if boot - awake > JUMP_SECONDS:
            return f"the machine slept for {boot - awake:.0f} s"
        if abs(wall - boot) > JUMP_SECONDS:
            return f"the clock was set by {wall - boot:.0f} s"
        if awake > expected + JUMP_SECONDS:
            return f"the process stood still for {awake:.0f} s"
        return None
