"""A checkpoint's bytes: positioned, counted reads of one open file. Nothing else in this package touches the disk."""

from __future__ import annotations

import os

WHOLE_FILE = 64 * 1024
"""Files up to this size are read at once: one call is cheaper than five small ones."""


class Refused(Exception):
    """The content can't be trusted or understood. Its text is one line; it never leaves this package."""


class CutShort(Exception):
    """The content ends before what it announces. Its text is one line; it never leaves this package."""


class ByteSource:
    """Reads ``[offset, offset + count)`` of the file behind ``fd``; ``bytes_read`` counts what the system handed over.

    ``size`` is the file's size when it was opened. The descriptor belongs to the caller. Raises OSError alone.
    """

    __slots__ = ("_fd", "_kept", "_kept_at", "bytes_read", "size")

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._kept = b""
        self._kept_at = 0
        self.size = size
        self.bytes_read = 0

    def keep(self, offset: int, count: int) -> bytes:
        """Read, and answer later reads inside the same range from memory."""
        self._kept = self.read(offset, count)
        self._kept_at = offset
        return self._kept

    def read(self, offset: int, count: int) -> bytes:
        """At most ``count`` bytes; fewer where the file ends (or has shrunk since it was opened)."""
        if offset < 0 or count <= 0 or offset >= self.size:
            return b""
        count = min(count, self.size - offset)
        inside = offset - self._kept_at
        if inside >= 0 and inside + count <= len(self._kept):
            return self._kept[inside : inside + count]
        parts: list[bytes] = []
        missing = count
        while missing:
            part = os.pread(self._fd, missing, offset)
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
