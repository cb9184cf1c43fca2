"""A small real outputs tree to try everything on, as ``tools/train_demo.py`` trained it."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import tarfile
import tempfile
import time
from importlib import resources
from pathlib import Path, PurePosixPath

from catalogdb.errors import CatalogError, UsageError

ARCHIVE = "outputs.tar.xz"
NAME = "outputs"


def lay_out(directory: Path) -> Path:
    """Write the tree to ``directory/outputs``, whole or not at all, and return that path.

    ``directory`` is made if needed. Links and times of change are kept; a clock behind that of the machine that
    trained sees the files as just written, never as from the future. Raises ``UsageError`` where there is
    something at ``directory/outputs`` already, ``CatalogError`` where it can't be written.
    """
    target = directory / NAME
    try:
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise UsageError(f"{target}: there is something else of that name")
        if target.is_dir() and any(target.iterdir()):
            raise UsageError(f"{target}: exists and isn't empty")
        directory.mkdir(parents=True, exist_ok=True)
        _lay_out(directory, target)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{error.filename or directory}: isn't a directory") from error
    except OSError as error:
        raise CatalogError(f"{target}: can't be written: {error.strerror or error}") from error
    return target


def _lay_out(directory: Path, target: Path) -> None:
    archive = resources.files(__name__).joinpath(ARCHIVE).read_bytes()
    with tempfile.TemporaryDirectory(prefix=f".{NAME}-", dir=directory, ignore_cleanup_errors=True) as temporary:
        unpack(archive, Path(temporary))
        Path(temporary, NAME).rename(target)


def unpack(archive: bytes, folder: Path) -> None:
    """Extract folders, files and relative links of a ``.tar.xz``; ``CatalogError`` for anything else.

    ``tarfile``'s own ``filter="data"`` isn't in every Python 3.11.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:xz") as tar:
            members = tar.getmembers()
            behind = max(0.0, max((member.mtime for member in members), default=0.0) - time.time() + 1.0)
            links: set[PurePosixPath] = set()
            for member in members:
                path = _checked(member, links)
                _write(tar, member, folder / path)
                if member.issym():
                    links.add(path)
            for member in reversed(members):  # a folder's time is kept by setting it after what is in it
                when = member.mtime - behind
                os.utime(folder / member.name, (when, when), follow_symlinks=False)
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise CatalogError(f"{ARCHIVE}: damaged: {error}") from error


def _checked(member: tarfile.TarInfo, links: set[PurePosixPath]) -> PurePosixPath:
    """The member's path, when neither it nor what it links to leaves the folder."""
    path = PurePosixPath(member.name)
    inside = not path.is_absolute() and ".." not in path.parts and not links.intersection((path, *path.parents))
    if member.issym():
        linked = PurePosixPath(member.linkname)
        inside = inside and not linked.is_absolute() and ".." not in linked.parts
    if not inside or not (member.isdir() or member.isfile() or member.issym()):
        raise CatalogError(f"{ARCHIVE}: refused: {member.name!r}")
    return path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    content = tar.extractfile(member)
    if content is None:
        raise CatalogError(f"{ARCHIVE}: refused: {member.name!r}")
    with content, path.open("xb") as file:
        shutil.copyfileobj(content, file)
