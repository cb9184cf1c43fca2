"""A look at the start and the end of a Lightning checkpoint: is it whole, and which epoch and step is it of?

Two small reads instead of a header's many: enough to hold a sidecar against the file, and to read the record that
MetadataCallback embeds right behind them. Lightning's dictionary begins
with ``epoch``, ``global_step`` and ``pytorch-lightning_version`` (``lightning/pytorch/trainer/connectors/
checkpoint_connector.py``, ``dump_checkpoint``), and ``torch.save`` writes the pickle as the first entry of the zip,
uncompressed (``torch/serialization.py``, ``_save``).
"""

from __future__ import annotations

import os
import re
import struct
from typing import Any

from catalogdb.formats.pickle_reader import read_pickle
from catalogdb.formats.plain import as_mapping, as_plain, mapping_at
from catalogdb.formats.source import Refused
from catalogdb.limits import DEFAULT, Limits
from catalogdb.records import EMBEDDED_KEY, CheckpointHeader

START = 4096
SMALLEST = 512
LONG_START = 1 << 16
"""What is read where a record is there and doesn't end within START."""

END = struct.Struct("<4s36xQQ4s4xQ4x4s18x")
"""What ``torch.save`` ends a zip with, always in the 64-bit form (APPNOTE 4.3.14 to 4.3.16): the end record's
signature, size and offset of the central directory; the locator's, and where the record lies; the old end record's."""

LOCAL_HEADER = re.compile(rb"PK\x03\x04.{4}\x00\x00.{16}(?P<name>..)(?P<extra>..)[^\x00/]+/data\.pkl", re.DOTALL)
"""The first local header (APPNOTE 4.3.7), stored and not compressed, of ``<stem>/data.pkl``."""

_INT = rb"(?:K(?P<{0}1>.)|M(?P<{0}2>..)|J(?P<{0}4>....))"
BEGINNING = re.compile(
    rb"\x80\x02}q\x00\(X\x05\x00\x00\x00epochq."
    + _INT.replace(b"{0}", b"epoch")
    + rb"X\x0b\x00\x00\x00global_stepq."
    + _INT.replace(b"{0}", b"step")
    + rb"X\x19\x00\x00\x00pytorch-lightning_versionq.X(?P<length>.)\x00\x00\x00(?P<version>[0-9A-Za-z.+]{1,64})q",
    re.DOTALL,
)
"""Opcodes of protocol 2 up to the version: a dictionary's first three items, ints in one, two or four bytes."""


_KEY = EMBEDDED_KEY.encode("ascii")
RECORD = b"X" + len(_KEY).to_bytes(4, "little") + _KEY
"""The embedded record's key, if it stands behind the version; BINPUT and one byte are between them."""

AFTER_RECORD = b"X\x0a\x00\x00\x00state_dict"
END_OF_PICKLE = b"u."
"""SETITEMS, STOP: with them what stands before AFTER_RECORD is a pickle of its own."""


def glance(descriptor: int, size: int, limits: Limits = DEFAULT) -> CheckpointHeader | None:
    """Epoch, step and version of a whole Lightning checkpoint; None for anything else, which wants its header read.

    Of an open file of ``size`` bytes. Raises OSError where it can't be read.
    """
    if size < SMALLEST:
        return None
    start = os.pread(descriptor, START, 0)
    end = os.pread(descriptor, END.size, size - END.size)
    if RECORD in start and AFTER_RECORD not in start:
        start = os.pread(descriptor, LONG_START, 0)
    if not _is_whole(end, size):
        return None
    return _read_beginning(start, limits)


def _is_whole(end: bytes, size: int) -> bool:
    """Whether the file ends with end records that fit it, the central directory right before them."""
    record, length, offset, locator, place, old_record = END.unpack(end)
    signatures = (record, locator, old_record) == (b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x06")
    return signatures and place == offset + length == size - END.size


def _read_beginning(start: bytes, limits: Limits) -> CheckpointHeader | None:
    local = LOCAL_HEADER.match(start)
    if local is None or int.from_bytes(local["name"], "little") != local.end() - 30:
        return None
    found = BEGINNING.match(start, local.end() + int.from_bytes(local["extra"], "little"))
    if found is None or found["length"][0] != len(found["version"]):
        return None
    epoch, step = _number(found, "epoch"), _number(found, "step")
    if epoch < 0 or step < 0:
        return None
    embedded = None
    if start.startswith(RECORD, found.end() + 1):
        embedded = _read_record(start, found.start(), limits)
        if embedded is None:
            return None
    return CheckpointHeader(
        format="torch_zip",
        framework="lightning",
        framework_version=found["version"].decode("ascii"),
        epoch=epoch,
        global_step=step,
        bytes_read=len(start) + END.size,
        embedded=embedded,
        whole=False,
    )


def _read_record(start: bytes, pickle_at: int, limits: Limits) -> dict[str, Any] | None:
    """The embedded record; None where it is anything but plain values, or doesn't end in ``start``."""
    end = start.find(AFTER_RECORD, pickle_at)
    if end < 0:
        return None
    try:
        checkpoint = read_pickle(start[pickle_at:end] + END_OF_PICKLE, limits)
    except Refused:
        return None
    return as_plain(mapping_at(as_mapping(checkpoint) or {}, EMBEDDED_KEY))


def _number(found: re.Match[bytes], name: str) -> int:
    """BININT1 and BININT2 are unsigned, BININT is signed (``pickletools``)."""
    wide: bytes | None = found[f"{name}4"]
    if wide is not None:
        return int.from_bytes(wide, "little", signed=True)
    return int.from_bytes(found[f"{name}1"] or found[f"{name}2"], "little")
