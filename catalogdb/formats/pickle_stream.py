"""Pickles that follow one another in a file: their lengths stand nowhere, so the file is read in growing windows."""

from __future__ import annotations

from collections.abc import Callable

from catalogdb.formats.pickle_reader import read_stream
from catalogdb.formats.source import ByteSource, CutShort, over

_WINDOWS = (64 * 1024, 512 * 1024, 4 * 1024 * 1024, 32 * 1024 * 1024)
"""Each eight times the last, and then the bound: what is interpreted again costs little beside the whole."""


class PickleStream:
    """Reads one pickle after the other; ``at`` is where the next one begins."""

    def __init__(self, source: ByteSource, at: int = 0, *, first: int = _WINDOWS[0]) -> None:
        self._source = source
        self._first = first
        self._data = b""
        self._data_at = at
        self.at = at

    def read(self, persistent: Callable[[object], object] | None = None) -> object:
        """The next pickle as data. CutShort where the file ends inside it, Refused where it is malformed or too long.

        ``persistent`` may be asked for the same id again.
        """
        most = self._source.limits.pickle_bytes
        for count in (0, self._first, *_WINDOWS, most):
            count = min(count, most)
            whole = len(self._data) if self._data_at == self.at else 0
            if count > whole:
                self._data, self._data_at = self._source.read(self.at, count), self.at
            elif count or not self._data:
                continue
            start = self.at - self._data_at
            try:
                value, end = read_stream(self._data, start, persistent, limits=self._source.limits)
            except CutShort:
                if self._data_at + len(self._data) >= self._source.size:
                    raise
                continue
            self.at = self._data_at + end
            return value
        raise over(self._source.limits, "pickle_bytes", "a pickle of more bytes")

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, which are no pickle."""
        start = self.at - self._data_at
        taken = self._data[start : start + count]
        if len(taken) < count:
            taken = self._source.read_exactly(self.at, count, "a number between two pickles")
        self.at += count
        return taken

    def skip(self, count: int) -> None:
        """Goes past ``count`` bytes without reading them. CutShort where the file ends before."""
        self.at += count
        if self.at > self._source.size:
            raise CutShort(f"the storages reach to {self.at} bytes or beyond, the file holds {self._source.size}")
        if self.at > self._data_at + len(self._data):
            self._data, self._data_at = b"", self.at
