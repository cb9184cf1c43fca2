"""Putting a sidecar beside its checkpoint, so that a reader sees the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from catalogdb.documents import format_document
from catalogdb.errors import MetadataError
from catalogdb.records import sidecar_path

NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


def write_sidecar(
    document: Mapping[str, Any],
    checkpoint_path: str | os.PathLike[str],
    *,
    durable: bool = True,
    overwrite: bool = True,
    check: Callable[[], None] | None = None,
) -> Path:
    """Writes ``document``, nulls left out, as the sidecar of a checkpoint, and returns its path.

    An existing file keeps its mode; without ``overwrite`` it stays, and FileExistsError is raised. ``durable`` waits
    until the disk has it, which takes longer than all the rest: a checkpoint that was written without waiting needs no
    sidecar that outlives it. ``check`` is called right before the new one takes its place; what it raises ends it.
    Raises MetadataError for text that is no Unicode, and OSError, by the sidecar's name. Whatever is raised, the old
    one is untouched and nothing left behind.
    """
    target = Path(sidecar_path(os.fspath(checkpoint_path)))
    try:
        data = format_document(document).encode()
    except UnicodeEncodeError as error:
        raise MetadataError(str(target), "holds text that is no valid Unicode") from error
    temporary = target.with_name(f".catalogdb-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(file.fileno(), target.stat().st_mode & 0o7777)
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if check is not None:
            check()
        if overwrite:
            temporary.replace(target)
        else:
            _put_where_nothing_is(temporary, target)
    except BaseException as error:
        with contextlib.suppress(NotADirectoryError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(target)
        raise
    if durable:
        _sync_folder(target.parent)
    return target


def _put_where_nothing_is(temporary: Path, target: Path) -> None:
    """A hard link is never made over a file, however many try at once."""
    try:
        target.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "File exists", str(target)) from error
        temporary.replace(target)
    else:
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # the file is in its place; some network filesystems can't sync a folder
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
