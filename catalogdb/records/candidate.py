"""What discovery finds: a checkpoint by its name, and the files that its row will depend on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

from catalogdb.records.terms import SourceRole


class Stamp(NamedTuple):
    """What ``stat`` says about a file: enough to tell whether it changed, and to know it again after a move."""

    size: int
    mtime_ns: int
    inode: int
    device: int


INT64_MAX = 2**63 - 1


def stamp_of(status: os.stat_result) -> Stamp:
    """In SQLite's 64 signed bits: a time may be anything that was set."""
    mtime_ns = status.st_mtime_ns
    if not -INT64_MAX <= mtime_ns <= INT64_MAX:
        mtime_ns = max(-INT64_MAX, min(mtime_ns, INT64_MAX))
    return Stamp(status.st_size, mtime_ns, signed_inode(status.st_ino), status.st_dev)


def signed_inode(inode: int) -> int:
    """As stamps have it: inodes are unsigned, and overlayfs and network filesystems use all of their 64 bits."""
    return inode - 2**64 if inode > INT64_MAX else inode


class Source(NamedTuple):
    """A file beside the checkpoint that its row depends on. ``path`` is absolute."""

    role: SourceRole
    path: str
    stamp: Stamp


class Place(NamedTuple):
    """A part of a root that is to be looked at: ``folder`` (relative, empty for the root itself) and ``depth`` levels
    of folders below it, None for all."""

    folder: str
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file, or a folder, that is a checkpoint by its name, with the files its row will depend on.

    ``root`` is absolute; ``rel_path`` is relative to it, and ``.`` for a root that is itself a checkpoint;
    ``link_target`` is absolute: where a symbolic link points to, or the first name of a hard-linked file.

    ``parts`` is empty for a file. For a folder it is a digest of the names and stamps of all its files, and ``stamp``
    has the sum of their sizes, the latest of their times, and the folder's own inode: so it changes with any of them,
    and a folder that is moved keeps it.
    """

    root: str
    rel_path: str
    stamp: Stamp
    sources: tuple[Source, ...] = ()
    link_target: str | None = None
    parts: str = ""

    @property
    def path(self) -> str:
        if self.rel_path == ".":
            return self.root
        return f"{self.root}/{self.rel_path}" if self.root != "/" else f"/{self.rel_path}"

    @property
    def is_folder(self) -> bool:
        return bool(self.parts)

    def source(self, role: SourceRole) -> Source | None:
        for source in self.sources:
            if source.role == role:
                return source
        return None


def sidecar_path(checkpoint_path: str) -> str:
    """``X.ckpt`` → ``X.metadata.yaml``: the last suffix replaced, as the sidecar's format has it."""
    folder, slash, name = checkpoint_path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem if dot and stem else name}.metadata.yaml"
