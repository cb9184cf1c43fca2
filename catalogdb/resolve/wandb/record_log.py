"""The framing of a ``.wandb`` file: LevelDB's log format with W&B's header, read without trusting it.

``:W&B``, 0xBEE1 little-endian, version 0; then blocks of 32 KiB counted from the file's start. A chunk is its CRC-32
over type and data, its length, its type (1 whole, 2 first, 3 middle, 4 last); fewer than 7 bytes at a block's end are
padding (``core/pkg/leveldb/record.go`` of W&B's SDK; LevelDB has CRC-32C instead).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

BLOCK = 32 * 1024
FILE_HEADER = b":W&B\xe1\xbe\x00"
WINDOW = 128
"""Blocks that are read at once."""

MAX_RECORD = 64 * 1024 * 1024
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4

_CHUNK = struct.Struct("<IHB")
_CRC_OF_TYPE = {kind: zlib.crc32(bytes((kind,))) for kind in (WHOLE, FIRST, MIDDLE, LAST)}


class NotARecordLog(ValueError):
    """The file isn't one of W&B's, or of a version that this reader doesn't know."""


def check_header(file: BinaryIO) -> bool:
    """Whether there is a header, and more than that may follow. Raises NotARecordLog for another one."""
    file.seek(0)
    header = file.read(len(FILE_HEADER))
    if not FILE_HEADER.startswith(header):
        raise NotARecordLog("isn't a W&B record log of version 0")
    return len(header) == len(FILE_HEADER)


def iter_records(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """Whole records between the offsets ``start``, the end of a record or of the header, and ``end``.

    Yields each with the offset behind it. A torn or damaged record is passed over with the rest of its block, and the
    reading goes on at the next one: what was cut off at the end is found whole when the file has grown.
    """
    parts: list[bytes] = []
    size = 0
    offset = start
    while offset < end:
        first = offset - offset % BLOCK
        file.seek(first)
        window = file.read(min(end - first, WINDOW * BLOCK))
        length = len(window)
        place = offset - first
        while place < length:
            limit = min((place // BLOCK + 1) * BLOCK, length)
            if limit - place < _CHUNK.size:
                place = limit
                continue
            crc, count, kind = _CHUNK.unpack_from(window, place)
            stop = place + _CHUNK.size + count
            seed = _CRC_OF_TYPE.get(kind)
            if seed is None or stop > limit or zlib.crc32(data := window[place + _CHUNK.size : stop], seed) != crc:
                parts, size, place = [], 0, limit
                continue
            place = stop
            if kind == WHOLE:
                parts, size = [], 0
                yield data, first + place
            elif kind == FIRST:
                parts, size = [data], count
            elif parts and size + count <= MAX_RECORD:
                parts.append(data)
                size += count
                if kind == LAST:
                    record = b"".join(parts)
                    parts, size = [], 0
                    yield record, first + place
            else:
                parts, size = [], 0
        if length == 0:
            return
        offset = first + length
