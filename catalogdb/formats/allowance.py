"""What the files of one checkpoint may take together: each is bounded alone, and a folder can name thousands."""

from __future__ import annotations

import time

from catalogdb.formats.source import Refused


class Allowance:
    """``seconds`` of this thread's CPU from now on. Waiting for a disk doesn't count."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.thread_time() + seconds

    def check(self) -> None:
        """Refused where it is used up."""
        if time.thread_time() > self._end:
            raise Refused(f"its files take more than {self._seconds:g} s of CPU to read")
