"""A zip's table of contents, read with two or three calls whatever the number of entries.

Layout after PKWARE's APPNOTE.TXT: 4.3.16 (end record), 4.3.14 and 4.3.15 (zip64 end record and locator),
4.3.12 (central directory), 4.3.7 (local header), 4.5.3 (zip64 extra field). ``zipfile`` isn't used: it builds an
object for each entry (measured 9 µs each) and seeks for each read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, KeysView
from operator import itemgetter
from typing import NamedTuple

from catalogdb.formats.source import ByteSource, CutShort, Refused, over

_END = struct.Struct("<4s4xHHIIH")
_END64_LOCATOR = struct.Struct("<4s4xQ4x")
_END64 = struct.Struct("<4s20xQQQQ")
_CENTRAL = struct.Struct("<I4xHH4xIIIHHH8xI")
_LOCAL = struct.Struct("<4s22xHH")
_EXTRA = struct.Struct("<HH")
_U64 = struct.Struct("<Q")

_PLACE = itemgetter(9)
_IN_ZIP64 = 0xFFFFFFFF
"""Stands for a number that the zip64 field holds."""

_TAIL = 64 * 1024
_MAX_COMMENT = 0xFFFF
_LOCAL_EXTRA_GUESS = 192
"""torch pads the local header to align its payload to 64 bytes (``caffe2/serialize/inline_container.cc``)."""


class Entry(NamedTuple):
    """One file of the zip, as the central directory describes it."""

    name: str
    flags: int
    method: int
    crc: int
    stored_size: int
    size: int
    header_at: int


Record = tuple[int, int, int, int, int, int, int, int, int, int]
"""As _CENTRAL unpacks it: signature, flags, method, crc, stored size, size, three lengths, header's place."""
CRC, SIZE = 3, 5
"""Where in a record they stand. A CRC-32 is 0 where the writer left it out."""


class Directory:
    """The zip's entries by name, in the archive's order; entries are made when they are asked for.

    Names are bytes read as Latin-1, which loses nothing: they are compared, never shown as they stand. ``record(name)``
    is an entry's record, None where it isn't there.
    """

    __slots__ = ("_records", "record")

    def __init__(self, records: dict[str, Record]) -> None:
        self._records = records
        self.record = records.get

    @property
    def names(self) -> KeysView[str]:
        return self._records.keys()

    def find(self, name: str) -> Entry | None:
        record = self._records.get(name)
        if record is None:
            return None
        _, flags, method, crc, stored, size, _, _, _, header_at = record
        return Entry(name, flags, method, crc, stored, size, header_at)

    def size_below(self, prefix: str) -> int:
        """The sizes of all entries whose names begin with ``prefix``, in sum."""
        return sum([record[SIZE] for name, record in self._records.items() if name.startswith(prefix)])


def read_directory(source: ByteSource) -> Directory:
    """The table of contents. CutShort where the end is missing, Refused where it contradicts itself."""
    count, size, start = check_end(source)
    table = source.read_exactly(start, size, "the zip's directory")
    return Directory(_parse(table, count, start))


def check_end(source: ByteSource) -> tuple[int, int, int]:
    """(entries, size, start of the directory), which lies inside the file. Raises as ``read_directory``."""
    count, size, start, limit = _find_end(source)
    if count > source.limits.zip_entries:
        raise over(source.limits, "zip_entries", f"zip of {count} entries, more")
    if size > source.limits.zip_directory_bytes:
        raise over(source.limits, "zip_directory_bytes", f"zip directory of {size} bytes, more")
    if start + size > source.size:
        raise CutShort("the zip's directory lies beyond the end of the file")
    if start + size > limit or size < count * _CENTRAL.size:
        raise Refused("the zip's end record lies about its directory")
    return count, size, start


def _find_end(source: ByteSource) -> tuple[int, int, int, int]:
    """(entries, size, start of the directory, where the end records begin)."""
    tail_at = max(0, source.size - _TAIL)
    tail = source.keep(tail_at, _TAIL) if tail_at else source.read(0, source.size)
    at = _end_record_in(tail)
    if at < 0 and tail_at:  # a comment may push the end record out of the tail; torch writes none
        tail_at = max(0, source.size - _MAX_COMMENT - _END.size)
        tail = source.read(tail_at, source.size - tail_at)
        at = _end_record_in(tail)
    if at < 0:
        raise CutShort("the zip has no end record")
    _, _, count, size, start, _ = _END.unpack_from(tail, at)
    end_at = tail_at + at
    if count != 0xFFFF and _IN_ZIP64 not in (size, start):
        return count, size, start, end_at
    locator = source.read(end_at - _END64_LOCATOR.size, _END64_LOCATOR.size)
    if len(locator) != _END64_LOCATOR.size or locator[:4] != b"PK\x06\x07":
        return count, size, start, end_at  # those very numbers, without zip64
    end64_at = _END64_LOCATOR.unpack(locator)[1]
    record = source.read(end64_at, _END64.size)
    if len(record) != _END64.size or record[:4] != b"PK\x06\x06":
        raise Refused("the zip's zip64 end record isn't where the locator says")
    _, _, count, size, start = _END64.unpack(record)
    return count, size, start, end64_at


def _end_record_in(tail: bytes) -> int:
    """Where the end record begins: the last one whose comment ends with the file; -1 if there is none."""
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if at + _END.size <= len(tail) and at + _END.size + _END.unpack_from(tail, at)[5] == len(tail):
            return at
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return -1


def _parse(table: bytes, count: int, start: int) -> dict[str, Record]:
    """The records, of entries that don't overlap each other nor the directory, which begins at ``start``."""
    records: dict[str, Record] = {}
    unpack, fixed, local, zip64, at = _CENTRAL.unpack_from, _CENTRAL.size, _LOCAL.size, _IN_ZIP64, 0
    text = table.decode("latin-1")
    reached, in_order = 0, True
    try:
        for _ in range(count):
            record = unpack(table, at)
            signature, flags, method, crc, stored, size, name_len, extra_len, comment_len, offset = record
            if signature != 0x02014B50:
                raise Refused("the zip's directory is damaged")
            name_at = at + fixed
            at = name_at + name_len
            if size != stored or stored == zip64 or offset == zip64:
                size, stored, offset = _zip64_values(table[at : at + extra_len], size, stored, offset)
                record = (signature, flags, method, crc, stored, size, name_len, extra_len, comment_len, offset)
                if size != stored and method == 0:
                    raise Refused("the zip lies about the size of a stored entry")
            records[text[name_at:at]] = record
            at += extra_len + comment_len
            if offset < reached:
                in_order = False
            reached = offset + local + name_len + stored
    except struct.error:
        raise Refused("the zip's directory ends too early") from None
    if len(records) != count:
        raise Refused("the zip has two entries of one name")
    if at != len(table):
        raise Refused("the zip's directory and its end record differ in size")
    if not in_order:
        reached = _check_overlaps(records)
    if reached > start:
        raise Refused("the zip's entries reach into its directory")
    return records


def _zip64_values(extra: bytes, *values: int) -> list[int]:
    """The 64-bit values that stand for those of 0xFFFFFFFF, in the order of APPNOTE 4.5.3."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = _EXTRA.unpack_from(extra, at)
        at += 4
        if tag == 1:
            stop = min(at + length, len(extra))
            found = []
            for value in values:
                if value == _IN_ZIP64 and at + 8 <= stop:
                    value = _U64.unpack_from(extra, at)[0]
                    at += 8
                found.append(value)
            return found
        at += length
    return list(values)


def _check_overlaps(records: dict[str, Record]) -> int:
    """No entry may reach into the next one: overlapping entries are how zip bombs are made. Where the last one ends."""
    reached = 0
    for _, _, _, _, stored, _, name_len, _, _, header_at in sorted(records.values(), key=_PLACE):
        if header_at < reached:
            raise Refused("the zip's entries overlap")
        reached = header_at + _LOCAL.size + name_len + stored
    return reached


def read_entry(source: ByteSource, entry: Entry, *, limit: int) -> bytes:
    """An entry's content, inflated if need be, its checksum verified where there is one.

    Refused where it is larger than ``limit`` or differs from what the directory says.
    """
    name = entry.name.rpartition("/")[2]
    if entry.size > limit or entry.stored_size > limit:
        raise Refused(f"{name!r} has {max(entry.size, entry.stored_size)} bytes, more than {limit}")
    if entry.flags & 1:
        raise Refused(f"{name!r} is encrypted")
    block = source.read(entry.header_at, _LOCAL.size + len(entry.name) + _LOCAL_EXTRA_GUESS + entry.stored_size)
    if len(block) < _LOCAL.size:
        raise CutShort(f"the file ends inside {name!r}")
    signature, name_len, extra_len = _LOCAL.unpack_from(block)
    if signature != b"PK\x03\x04" or block[_LOCAL.size : _LOCAL.size + name_len].decode("latin-1") != entry.name:
        raise Refused(f"the zip's directory and the header of {name!r} differ")
    begin = _LOCAL.size + name_len + extra_len
    data = block[begin : begin + entry.stored_size]
    if len(data) < entry.stored_size:
        rest_at = entry.header_at + begin + len(data)
        data += source.read_exactly(rest_at, entry.stored_size - len(data), repr(name))
    if entry.method == 8:
        data = _inflate(data, name, entry.size)
    elif entry.method != 0:
        raise Refused(f"{name!r} is compressed with method {entry.method}")
    if entry.crc and zlib.crc32(data) != entry.crc:
        raise Refused(f"the checksum of {name!r} is wrong")
    return data


def iter_entry(source: ByteSource, entry: Entry, *, piece: int) -> Iterator[bytes]:
    """An entry's content in pieces, whatever its size. Its checksum isn't looked at. Raises CutShort, Refused."""
    name = entry.name.rpartition("/")[2]
    local = source.read_exactly(entry.header_at, _LOCAL.size, repr(name))
    signature, name_len, extra_len = _LOCAL.unpack(local)
    if signature != b"PK\x03\x04" or entry.flags & 1 or entry.method not in (0, 8):
        raise Refused(f"{name!r} can't be read")
    at = entry.header_at + _LOCAL.size + name_len + extra_len
    end, left = at + entry.stored_size, entry.size
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == 8 else None
    while at < end:
        data = source.read_exactly(at, min(piece, end - at), repr(name))
        at += len(data)
        while data:
            content, data = _next_piece(inflater, data, name, piece)
            left -= len(content)
            if left < 0:
                raise Refused(f"{name!r} inflates to another size than the zip says")
            yield content
    if left:
        raise Refused(f"{name!r} inflates to another size than the zip says")


def _next_piece(inflater: zlib._Decompress | None, data: bytes, name: str, limit: int) -> tuple[bytes, bytes]:
    """(content, what of the data is left to inflate)."""
    if inflater is None:
        return data, b""
    try:
        content = inflater.decompress(data, limit)
    except zlib.error as error:
        raise Refused(f"{name!r} can't be inflated: {error}") from error
    return content, b"" if inflater.eof else inflater.unconsumed_tail


def _inflate(data: bytes, name: str, size: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise Refused(f"{name!r} can't be inflated: {error}") from error
    if len(content) != size or not inflater.eof:
        raise Refused(f"{name!r} inflates to another size than the zip says")
    return content
