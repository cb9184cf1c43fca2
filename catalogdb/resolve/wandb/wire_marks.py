"""Keys found in the bytes of history and summary records, so that only records with something new are parsed.

An item is a message of its key's parts (``nested_key``, field 2) and its value (``value_json``, field 16), and both
writers of it, Python and Go, put fields in the order of their numbers: ``12 <length> key 82 01 <length> json``. JSON
has no control characters, so that these bytes can't stand inside a value.
"""

from __future__ import annotations

from collections.abc import Sequence

VALUE = b"\x82\x01"
MAX_PART = 127
"""Bytes of a part whose length is one byte; longer keys have no mark."""


def mark_of(parts: Sequence[str]) -> bytes | None:
    """The bytes that a key's item begins with, up to its value."""
    found = b""
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        if len(raw) > MAX_PART:
            return None
        found += b"\x12" + bytes((len(raw),)) + raw
    return found + VALUE


def text_behind(data: bytes, mark: bytes) -> str | None:
    """The JSON text of a short value; None where the mark isn't there, or the value is longer than 127 bytes."""
    place = data.find(mark)
    if place < 0:
        return None
    place += len(mark)
    length = data[place] if place < len(data) else 128
    if length > MAX_PART:
        return None
    return data[place + 1 : place + 1 + length].decode("ascii", "replace")


class KnownMarks:
    """The keys that later records have already set: a record with no others has nothing to say."""

    def __init__(self) -> None:
        self._marks: set[bytes] = set()
        self._clear = True

    def add(self, parts: Sequence[str]) -> None:
        mark = mark_of(parts)
        if mark is None or (len(parts) > 1 and self._ambiguous(mark)):
            self._clear = False
        elif mark not in self._marks:
            self._clear = self._clear and not self._ambiguous(mark)
            self._marks.add(mark)

    def cover(self, data: bytes) -> bool:
        """Whether every item of a record has a known key. A record that only removes keys has no item."""
        if not self._clear:
            return False
        values = data.count(VALUE)
        if values == 0 or values > len(self._marks):
            return False
        for mark in self._marks:
            if mark in data:
                values -= 1
        return values == 0

    def _ambiguous(self, mark: bytes) -> bool:
        """A nested key that ends like another one would be counted twice."""
        return any(mark != other and (mark.endswith(other) or other.endswith(mark)) for other in self._marks)
