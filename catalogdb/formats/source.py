"""A checkpoint's bytes: positioned, counted reads of one open file. Nothing else in this package touches the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

from catalogdb.limits import DEFAULT, Limits

WHOLE_FILE = 64 * 1024
"""Files up to this size are read at once: one call is cheaper than five small ones."""


class Refused(Exception):
    """The content can't be trusted or understood. Its text is one line; it never leaves this package."""


class Beyond(Refused):
    """A limit is passed; the reason names the setting."""


def over(limits: Limits, name: str, what: str) -> Beyond:
    """What to raise where ``what`` is beyond the limit called ``name``."""
    return Beyond(f"{what} than limits_{name} allows ({getattr(limits, name)})")


class CutShort(Exception):
    """The content ends before what it announces. Its text is one line; it never leaves this package."""


class Foreign(Exception):
    """The content is whole, but no checkpoint. Its text is one line; it never leaves this package."""


class ByteSource:
    """Reads ``[offset, offset + count)`` through ``pread(count, offset)``; ``bytes_read`` counts what that handed over.

    ``size`` is the file's size when it was opened. What is behind ``pread`` belongs to the caller. Raises OSError.
    ``limits`` are the bounds for whatever is read through it.
    """

    __slots__ = ("_kept", "_kept_at", "_pread", "bytes_read", "limits", "size")

    def __init__(self, pread: Callable[[int, int], bytes], size: int, limits: Limits = DEFAULT) -> None:
        self._pread = pread
        self._kept = b""
        self._kept_at = 0
        self.size = size
        self.limits = limits
        self.bytes_read = 0

    @classmethod
    def of_descriptor(cls, fd: int, size: int, limits: Limits = DEFAULT) -> ByteSource:
        return cls(partial(os.pread, fd), size, limits)

    @classmethod
    def of_file(cls, file: BinaryIO, limits: Limits = DEFAULT) -> ByteSource:
        """Of an open, seekable file in binary mode, from its start; its position moves."""

        def pread(count: int, offset: int) -> bytes:
            file.seek(offset)
            return file.read(count)

        return cls(pread, file.seek(0, os.SEEK_END), limits)

    def window(self, start: int, size: int) -> ByteSource:
        """A part of it as a source of its own: a file inside a tar. It counts here as well."""
        return ByteSource(lambda count, offset: self.read(start + offset, count), size, self.limits)

    def keep(self, offset: int, count: int) -> bytes:
        """Read, and answer later reads inside the same range from memory."""
        self._kept = self.read(offset, count)
        self._kept_at = offset
        return self._kept

    def read(self, offset: int, count: int) -> bytes:
        """At most ``count`` bytes; fewer where the file ends (or has shrunk since it was opened)."""
        inside = offset - self._kept_at
        if inside >= 0 and 0 < count <= len(self._kept) - inside:
            return self._kept[inside : inside + count]
        if offset < 0 or count <= 0 or offset >= self.size:
            return b""
        count = min(count, self.size - offset)
        if inside >= 0 and inside + count <= len(self._kept):
            return self._kept[inside : inside + count]
        parts: list[bytes] = []
        missing = count
        while missing:
            part = self._pread(missing, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            missing -= len(part)
        self.bytes_read += count - missing
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_exactly(self, offset: int, count: int, what: str) -> bytes:
        """Exactly ``count`` bytes, or CutShort naming ``what`` was looked for."""
        data = self.read(offset, count)
        if len(data) != count:
            raise CutShort(f"the file ends inside {what}")
        return data
