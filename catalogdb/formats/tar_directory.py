"""A tar's members: its headers are walked, the contents are skipped.

Layout after POSIX.1-2017 ``pax`` (ustar and pax interchange formats) and GNU tar's manual, "Basic Tar Format": blocks
of 512 bytes; name at 0, size at 124 (octal, or base 256 where the first bit is set), checksum at 148, type at 156,
prefix at 345; ``x`` holds records ``LENGTH key=value`` and ``L`` a long name for the member that follows. Two blocks of
zeros end the archive.
"""

from __future__ import annotations

from catalogdb.formats.container import Span
from catalogdb.formats.source import ByteSource, CutShort, Refused, over

BLOCK = 512
MAX_EXTENDED = 64 * 1024
_FILES = (b"0", b"\x00", b"7")


def is_tar(block: bytes) -> bool:
    """Whether a block is a member's header: bytes 148 to 155 hold the sum of the block with those bytes as blanks."""
    if len(block) < BLOCK or block[0] == 0:
        return False
    text = block[148:156].strip(b" \x00")
    if not text or not text.isdigit() or b"8" in text or b"9" in text:
        return False
    return int(text, 8) == sum(block[:148]) + sum(block[156:BLOCK]) + 8 * 0x20


def read_members(source: ByteSource) -> dict[str, Span]:
    """The regular files by name, without a leading ``./``. Of two with one name, Refused.

    CutShort where the end isn't there, Refused where a header is damaged or there are too many.
    """
    members: dict[str, Span] = {}
    at, long_name, long_size = 0, None, None
    for _ in range(source.limits.tar_members):
        block = source.read_exactly(at, BLOCK, "a header of the tar, or before its end")
        if not block[0]:
            return members
        if not is_tar(block[:BLOCK]):
            raise Refused("the tar has a damaged header")
        kind = block[156:157]
        size = _number(block[124:136])
        if kind in (b"x", b"L"):
            extended = source.read_exactly(at + BLOCK, min(size, MAX_EXTENDED), "a header of the tar")
            if size > MAX_EXTENDED:
                raise Refused(f"the tar has an extended header of {size} bytes")
            long_name, long_size = _extended(kind, extended, long_name, long_size)
        else:
            size = size if long_size is None else long_size
            if at + BLOCK + size > source.size:
                raise CutShort(f"a member of the tar reaches beyond the file's {source.size} bytes")
            if kind in _FILES:
                name = (long_name or _name(block)).removeprefix("./")
                if name in members:
                    raise Refused("the tar has two members of one name")
                members[name] = Span(at + BLOCK, size)
            long_name = long_size = None
        at += BLOCK + (size + BLOCK - 1) // BLOCK * BLOCK
    raise over(source.limits, "tar_members", "more members in a tar")


def _name(block: bytes) -> str:
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:262] == b"ustar" and block[262:264] != b" \x00" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\x00")[0].decode("utf-8", "replace")


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    digits = field.strip(b" \x00")
    if not digits:
        return 0
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise Refused("the tar has a size that is no number")
    return int(digits, 8)


def _extended(kind: bytes, content: bytes, name: str | None, size: int | None) -> tuple[str | None, int | None]:
    if kind == b"L":
        return _text(content), size
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or len(length) > 6 or not 0 < int(length) <= len(content):
            raise Refused("the tar has a damaged extended header")
        record, content = content[len(length) + 1 : int(length)], content[int(length) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if key == b"path":
            name = _text(value)
        elif key == b"size" and value.isdigit() and len(value) < 20:
            size = int(value)
    return name, size
