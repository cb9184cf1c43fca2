"""What the containers of pickled checkpoints have in common: a pickle as data, and storages by key."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from catalogdb.formats.source import ByteSource, Refused
from catalogdb.formats.tensors import ITEM_SIZES, Tensor, TensorRef, describe
from catalogdb.limits import Limits

SMALL_STORAGE = 64
"""Bytes of the largest storage that is ever read for its number."""
MAX_STORAGES_READ = 4096

_CODES = {
    "float64": "d",
    "float32": "f",
    "float16": "e",
    "int64": "q",
    "int32": "i",
    "int16": "h",
    "int8": "b",
    "uint64": "Q",
    "uint32": "I",
    "uint16": "H",
    "uint8": "B",
    "bool": "?",
}


class Span(NamedTuple):
    """Where in the file a storage's bytes lie."""

    at: int
    size: int


class Stored(NamedTuple):
    """What a container says of tensors' storages: the CRC-32 of each tensor's, None where it keeps none, and how many
    bytes they are together, one that tensors share once."""

    checksums: tuple[int | None, ...]
    size: int


class Container(Protocol):
    """An open checkpoint file. Everything raises CutShort, Refused, Foreign and OSError alone."""

    @property
    def format(self) -> str: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def bytes_read(self) -> int:
        """Of the file, so far."""

    def read_checkpoint(self) -> object:
        """The pickle as data."""

    def stored(self, tensors: Mapping[str, Tensor]) -> Stored:
        """The tensors' storages. Refused where one is missing, or smaller than its tensor."""

    def number(self, ref: TensorRef) -> bool | int | float | None:
        """The number in a tensor of one element whose storage is small, else None."""

    def storage_bytes(self) -> int:
        """The bytes of all storages; 0 where they aren't known."""


class InPlace:
    """What containers share whose storages lie in the file as they are: ``_spans``, filled while the pickle is read."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._spans: dict[str, Span] = {}
        self._numbers_read = 0

    @property
    def limits(self) -> Limits:
        return self._source.limits

    @property
    def bytes_read(self) -> int:
        return self._source.bytes_read

    def span(self, key: str) -> Span | None:
        """Where a storage lies, once the checkpoint was read."""
        return self._spans.get(key)

    def stored(self, tensors: Mapping[str, Tensor]) -> Stored:
        """Without checksums. Refused where a tensor's storage is missing or too small for it."""
        sizes: dict[str, int] = {}
        for name, tensor in tensors.items():
            if tensor.key is None:
                continue
            span = self._spans.get(tensor.key)
            if span is None:
                raise Refused(f"the storage of {name[:80]!r} is missing")
            if tensor.extent * ITEM_SIZES.get(tensor.dtype, 0) > span.size:
                raise Refused(f"the tensor {name[:80]!r} is larger than its storage")
            sizes[tensor.key] = span.size
        return Stored((None,) * len(tensors), sum(sizes.values()))

    def number(self, ref: TensorRef) -> bool | int | float | None:
        tensor = describe(ref)
        if tensor is None or tensor.numel != 1 or tensor.key is None or self._numbers_read >= MAX_STORAGES_READ:
            return None
        span = self._spans.get(tensor.key)
        if span is None or span.size > SMALL_STORAGE:
            return None
        self._numbers_read += 1
        return decode_number(tensor, self._source.read(span.at, span.size))

    def storage_bytes(self) -> int:
        return sum([span.size for span in self._spans.values()])


def decode_number(tensor: Tensor, storage: bytes, *, big_endian: bool = False) -> bool | int | float | None:
    """The one element of ``tensor``, out of its storage's bytes; None where it lies outside or has no plain value."""
    width = ITEM_SIZES.get(tensor.dtype)
    if width is None:
        return None
    at = tensor.offset * width
    raw = storage[at : at + width]
    if len(raw) != width:
        return None
    order = ">" if big_endian else "<"
    if tensor.dtype == "bfloat16":  # the upper half of a float32
        return _unpack(f"{order}f", raw + b"\x00\x00" if big_endian else b"\x00\x00" + raw)
    code = _CODES.get(tensor.dtype)
    return None if code is None else _unpack(order + code, raw)


def _unpack(layout: str, raw: bytes) -> bool | int | float:
    number: bool | int | float = struct.unpack(layout, raw)[0]
    return number
