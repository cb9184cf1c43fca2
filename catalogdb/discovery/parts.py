"""A folder that is one checkpoint, and the files that are its parts: told from a listing in hand, then looked at."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from catalogdb.discovery.entries import is_folder
from catalogdb.folders import FolderKind, has_ranks, kind_of_folder, may_be_checkpoint, owns_file, owns_folder
from catalogdb.records import Stamp, stamp_of


@dataclass(frozen=True, slots=True)
class Parts:
    """``stamp`` and ``digest`` as a Candidate has them; ``files`` and ``folders`` are the parts directly in it."""

    stamp: Stamp
    digest: str
    files: frozenset[str]
    folders: frozenset[str]


def find_parts(path: str, name: str, entries: Sequence[os.DirEntry[str]]) -> Parts | None:
    """The parts of a folder called ``name`` that was listed at ``path``; None where it is no checkpoint as a whole.

    Ordinary folders cost no call; a checkpoint's files are each asked for their stamp. Raises OSError.
    """
    if not may_be_checkpoint([entry.name for entry in entries]):
        return None
    inner = frozenset([entry.name for entry in entries if is_folder(entry, follow_links=True)])
    kind = kind_of_folder(name, frozenset([entry.name for entry in entries]) - inner, inner)
    if kind is None:
        return None
    files, folders = _own(kind, name, entries, inner)
    stamps = {each.name: status for each in files if (status := _stamp(each)) is not None}
    for folder in folders:
        stamps.update(_below(folder.path, folder.name))
    if kind == "lightning_deepspeed" and not has_ranks([each.rpartition("/")[2] for each in stamps]):
        return None
    own = os.lstat(path)  # a link moves on its own
    size = sum([stamp.size for stamp in stamps.values()])
    latest = max([stamp.mtime_ns for stamp in stamps.values()], default=stamp_of(own).mtime_ns)
    return Parts(
        stamp_of(own)._replace(size=size, mtime_ns=latest),
        _digest(stamps),
        frozenset([each.name for each in files]),
        frozenset([each.name for each in folders]),
    )


def _own(
    kind: FolderKind, name: str, entries: Sequence[os.DirEntry[str]], inner: frozenset[str]
) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    files: list[os.DirEntry[str]] = []
    folders: list[os.DirEntry[str]] = []
    for entry in entries:
        if entry.name in inner:
            if owns_folder(kind, entry.name):
                folders.append(entry)
        elif owns_file(name, entry.name):
            files.append(entry)
    return files, folders


def _below(path: str, prefix: str) -> Iterator[tuple[str, Stamp]]:
    """All files below a folder, by their paths from the checkpoint; links to folders aren't followed."""
    with os.scandir(path) as listing:
        entries = list(listing)
    for entry in entries:
        name = f"{prefix}/{entry.name}"
        if is_folder(entry):
            yield from _below(entry.path, name)
        elif (stamp := _stamp(entry)) is not None:
            yield name, stamp


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    """None for what isn't there any more, for a link that leads nowhere, and for what is no regular file."""
    try:
        status = entry.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError) or os.path.islink(entry.path):
            return None
        raise
    return stamp_of(status) if stat.S_ISREG(status.st_mode) else None


def _digest(stamps: dict[str, Stamp]) -> str:
    digest = blake2b(digest_size=8)
    for name, (size, mtime_ns, inode, _) in sorted(stamps.items()):
        digest.update(f"{name}\0{size} {mtime_ns} {inode}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
