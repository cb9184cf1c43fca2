"""The one entry: a file to what its header says."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from functools import partial
from typing import BinaryIO

from catalogdb.formats.container import Container
from catalogdb.formats.contents import read_contents
from catalogdb.formats.folder import read_folder
from catalogdb.formats.index import read_index
from catalogdb.formats.limits import DEFAULT, Limits
from catalogdb.formats.nemo import read_tar
from catalogdb.formats.safetensors import read_safetensors
from catalogdb.formats.signatures import identify
from catalogdb.formats.sniff import HEAD, Kind, sniff
from catalogdb.formats.source import WHOLE_FILE, ByteSource, CutShort, Foreign, Refused
from catalogdb.formats.torch_legacy import BarePickle, TorchLegacy
from catalogdb.formats.torch_zip import TorchZip
from catalogdb.records import CheckpointHeader

_FORMATS: dict[Kind, str] = {"zip": "torch_zip", "index": "sharded"}

OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Non-blocking: opening a FIFO would otherwise wait for a writer."""


def read_header(checkpoint: str | BinaryIO, *, limits: Limits = DEFAULT) -> CheckpointHeader:
    """What a checkpoint says about itself: a file or a folder by its path, or an open file. Nothing in it is executed.

    Cost follows the number of tensors, not the size of the file. Raises OSError where it can't be opened or read (a
    folder that is no checkpoint is an IsADirectoryError); whatever it holds ends in a header with a state and a reason.
    """
    if not isinstance(checkpoint, str):
        header = read_source(ByteSource.of_file(checkpoint, limits))
    else:
        header = _read_path(checkpoint, limits, folders=True)
    model = identify(header.tensors) if header.model is None else None
    return header if model is None else replace(header, model=model)


def _read_path(path: str, limits: Limits, *, folders: bool = False, beside: bool = True) -> CheckpointHeader:
    """``folders`` and ``beside``: whether a folder is looked into, and files beside this one. What a folder or an index
    names is read without: neither can lead on, or back to itself."""
    fd = os.open(path, OPEN_FLAGS)
    try:
        status = os.fstat(fd)
        if folders and stat.S_ISDIR(status.st_mode):
            return read_folder(path, partial(_read_path, limits=limits), limits)
        if not stat.S_ISREG(status.st_mode):
            return CheckpointHeader(None, "foreign", "not a regular file")
        return read_source(ByteSource.of_descriptor(fd, status.st_size, limits), path if beside else None)
    finally:
        os.close(fd)


def read_source(source: ByteSource, path: str | None = None) -> CheckpointHeader:
    """The header of a file. ``path`` is where it lies, for formats that have other files beside it."""
    header = _read(source, path)
    return header if header.bytes_read == source.bytes_read else replace(header, bytes_read=source.bytes_read)


def _read(source: ByteSource, path: str | None) -> CheckpointHeader:
    if not source.size:
        return CheckpointHeader(None, "truncated", "empty")
    head = source.keep(0, WHOLE_FILE)[:HEAD] if source.size <= WHOLE_FILE else source.read(0, HEAD)
    kind = sniff(head)
    if kind is None:
        return CheckpointHeader(None, "foreign", "no known checkpoint format")
    try:
        return _read_kind(kind, source, path)
    except Foreign as error:
        return CheckpointHeader(None, "foreign", str(error))
    except CutShort as error:
        return CheckpointHeader(_FORMATS.get(kind, kind), "truncated", str(error))
    except Refused as error:
        return CheckpointHeader(_FORMATS.get(kind, kind), "unreadable", str(error))


def _read_kind(kind: Kind, source: ByteSource, path: str | None) -> CheckpointHeader:
    if kind == "safetensors":
        return read_safetensors(source)
    if kind == "tar":
        return read_tar(source, read_source)
    if kind == "index":
        return read_index(source, path, partial(_read_path, limits=source.limits, beside=False))
    container: Container
    if kind == "zip":
        container = TorchZip(source)
    elif kind == "torch_legacy":
        container = TorchLegacy(source)
    else:
        container = BarePickle(source)
    return read_contents(container)
