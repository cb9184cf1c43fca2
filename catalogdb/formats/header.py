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
from catalogdb.formats.glance import glance
from catalogdb.formats.index import read_index
from catalogdb.formats.nemo import read_tar
from catalogdb.formats.safetensors import read_safetensors
from catalogdb.formats.signatures import identify
from catalogdb.formats.sniff import HEAD, Kind, sniff
from catalogdb.formats.source import WHOLE_FILE, ByteSource, CutShort, Foreign, Refused
from catalogdb.formats.torch_legacy import BarePickle, TorchLegacy
from catalogdb.formats.torch_zip import TorchZip
from catalogdb.limits import DEFAULT, Limits
from catalogdb.records import CheckpointHeader

_FORMATS: dict[Kind, str] = {"zip": "torch_zip", "index": "sharded"}

OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Non-blocking: opening a FIFO would otherwise wait for a writer."""


class OpenedCheckpoint:
    """A checkpoint by its path, a file or a folder, for a look at its start and for its header: opened once for both,
    when first needed, and closed at the end of its ``with``.

    Its methods raise OSError where it can't be opened or read.
    """

    def __init__(self, path: str, *, limits: Limits = DEFAULT) -> None:
        self._path = path
        self._limits = limits
        self._opened: int | None = None

    def __enter__(self) -> OpenedCheckpoint:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None

    def _descriptor(self) -> int:
        if self._opened is None:
            self._opened = os.open(self._path, OPEN_FLAGS)
        return self._opened

    def glance(self) -> CheckpointHeader | None:
        """Epoch, step and version of a whole Lightning file; None for anything else, which wants its header read."""
        status = os.fstat(self._descriptor())
        return glance(self._descriptor(), status.st_size, self._limits) if stat.S_ISREG(status.st_mode) else None

    def header(self) -> CheckpointHeader:
        """As ``read_header``. A folder that is no checkpoint is an IsADirectoryError."""
        return _identified(_read_opened(self._descriptor(), self._path, self._limits, folders=True))


def read_header(checkpoint: str | BinaryIO, *, limits: Limits = DEFAULT) -> CheckpointHeader:
    """What a checkpoint says about itself: a file or a folder by its path, or an open file. Nothing in it is executed.

    Cost follows the number of tensors, not the size of the file. Raises OSError where it can't be opened or read (a
    folder that is no checkpoint is an IsADirectoryError); whatever it holds ends in a header with a state and a reason.
    """
    if not isinstance(checkpoint, str):
        return _identified(read_source(ByteSource.of_file(checkpoint, limits)))
    with OpenedCheckpoint(checkpoint, limits=limits) as opened:
        return opened.header()


def _identified(header: CheckpointHeader) -> CheckpointHeader:
    model = identify(header.tensors) if header.model is None else None
    return header if model is None else replace(header, model=model)


def _read_path(path: str, limits: Limits, *, beside: bool = True) -> CheckpointHeader:
    """Of what a folder or an index names: it may be no checkpoint by itself. ``beside``: whether files beside it are
    looked into. Neither can lead on, or back to itself."""
    fd = os.open(path, OPEN_FLAGS)
    try:
        header = _read_opened(fd, path, limits, beside=beside)
    finally:
        os.close(fd)
    is_part = header.state == "foreign" and header.format is not None
    return replace(header, state="ready", reason=None) if is_part else header


def _read_opened(fd: int, path: str, limits: Limits, *, folders: bool = False, beside: bool = True) -> CheckpointHeader:
    status = os.fstat(fd)
    if folders and stat.S_ISDIR(status.st_mode):
        return read_folder(path, partial(_read_path, limits=limits), limits)
    if not stat.S_ISREG(status.st_mode):
        return CheckpointHeader(None, "foreign", "not a regular file")
    return read_source(ByteSource.of_descriptor(fd, status.st_size, limits), path if beside else None)


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
