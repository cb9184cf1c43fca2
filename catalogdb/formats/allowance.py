"""What the files of one checkpoint may take together: each is bounded alone, and a folder can name thousands."""

from __future__ import annotations

import time

from catalogdb.formats.source import over
from catalogdb.limits import Limits


class Allowance:
    """``folder_seconds`` of this thread's CPU from now on. Waiting for a disk doesn't count."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._end = time.thread_time() + limits.folder_seconds

    def check(self) -> None:
        """Refused where it is used up."""
        if time.thread_time() > self._end:
            raise over(self._limits, "folder_seconds", "its files take longer to read")
