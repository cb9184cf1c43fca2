"""The payloads too: a fingerprint for files that keep no checksums, and a proof for those that do.

Everything is read once, in pieces, and nothing of it is interpreted. Equal weights have equal fingerprints whatever the
container: torch writes a storage's bytes as they are in memory, little-endian, in all of its formats, and safetensors
does so with contiguous tensors (``torch/serialization.py``; the README of huggingface/safetensors).
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from catalogdb.formats.container import Span
from catalogdb.formats.contents import read_weights
from catalogdb.formats.header import OPEN_FLAGS, read_header
from catalogdb.formats.safetensors import read_layout
from catalogdb.formats.sniff import HEAD, sniff
from catalogdb.formats.source import ByteSource, CutShort, Refused
from catalogdb.formats.tensors import Tensor
from catalogdb.formats.torch_legacy import TorchLegacy
from catalogdb.formats.torch_zip import TorchZip
from catalogdb.formats.weights import Checksums, fingerprint
from catalogdb.formats.zip_directory import iter_entry
from catalogdb.limits import DEFAULT, Limits
from catalogdb.records import CheckpointHeader

PIECE = 4 * 1024 * 1024


def read_deep(path: str, *, limits: Limits = DEFAULT) -> CheckpointHeader:
    """The header with checksums and fingerprint from the payloads; unreadable where they contradict the container.

    What is no single file of tensors comes back as ``read_header`` gives it. Raises OSError.
    """
    header = read_header(path, limits=limits)
    if header.state != "ready" or header.weights is None:
        return header
    fd = os.open(path, OPEN_FLAGS)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return header
        source = ByteSource.of_descriptor(fd, status.st_size, limits)
        found = _read(source)
    except (CutShort, Refused) as error:
        return CheckpointHeader(header.format, "unreadable", str(error))
    finally:
        os.close(fd)
    if found is None:
        return header
    tensors, checksums = found
    weights = replace(header.weights, fingerprint=fingerprint(tensors, checksums))
    read = header.bytes_read + source.bytes_read
    return replace(header, checksums=checksums, weights=weights, bytes_read=read)


def _read(source: ByteSource) -> tuple[dict[str, Tensor], Checksums] | None:
    kind = sniff(source.read(0, HEAD))
    if kind == "safetensors":
        tensors, spans, _ = read_layout(source)
        return tensors, tuple([_checksum(_pieces(source, spans[name])) for name in tensors])
    if kind == "zip":
        archive = TorchZip(source)
        return _of_storages(read_weights(archive), lambda key: _of_entry(source, archive, key))
    if kind == "torch_legacy":
        stream = TorchLegacy(source)
        weights = read_weights(stream)
        return _of_storages(weights, lambda key: _of_span(source, stream.span(key)))
    return None


def _of_storages(
    tensors: dict[str, Tensor] | None, read: Callable[[str], int]
) -> tuple[dict[str, Tensor], Checksums] | None:
    if tensors is None or any(tensor.key is None for tensor in tensors.values()):
        return None
    known = {key: read(key) for key in dict.fromkeys([tensor.key for tensor in tensors.values()]) if key is not None}
    return tensors, tuple([known[tensor.key] for tensor in tensors.values() if tensor.key is not None])


def _of_entry(source: ByteSource, archive: TorchZip, key: str) -> int:
    entry = archive.storage(key)
    if entry is None:
        raise Refused(f"the storage {key[:80]!r} is missing")
    found = _checksum(iter_entry(source, entry, piece=PIECE))
    if entry.crc and found != entry.crc:
        raise Refused(f"the checksum of {key[:80]!r} is wrong: its bytes have changed since they were written")
    return found


def _of_span(source: ByteSource, span: Span | None) -> int:
    if span is None:
        raise Refused("a storage is missing")
    return _checksum(_pieces(source, span))


def _pieces(source: ByteSource, span: Span) -> Iterator[bytes]:
    at, end = span.at, span.at + span.size
    while at < end:
        piece = source.read_exactly(at, min(PIECE, end - at), "a tensor")
        at += len(piece)
        yield piece


def _checksum(pieces: Iterator[bytes]) -> int:
    found = 0
    for piece in pieces:
        found = zlib.crc32(piece, found)
    return found
