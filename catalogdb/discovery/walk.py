"""The walk over a root: which files and folders are checkpoints by name, and which files each of them depends on.

``os.scandir`` and plain strings throughout: a ``pathlib.Path`` for each entry costs more than the entry's ``stat``.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from catalogdb.discovery.entries import is_folder, is_utf8
from catalogdb.discovery.folder import PLAIN_CONFIGS, Folder
from catalogdb.discovery.parts import Parts, find_parts
from catalogdb.errors import RootError
from catalogdb.layouts.base import above_checkpoints
from catalogdb.records import CHECKPOINT_SUFFIXES, Candidate, Place, Problem, Source, signed_inode, stamp_of

PASSED_OVER = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".dvc",
        ".hydra",
        ".cache",
        ".venv",
        ".tox",
        ".nox",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        "__pycache__",
        "lost+found",
        "node_modules",
        "site-packages",
    }
)
"""Folders that hold no training output."""

WANDB_RUN_FOLDER = re.compile(r"(offline-)?run-\d{8}_\d{6}-\w+")
"""W&B's own folder of a run: ``run-20251018_143215-abc123de``, ``offline-run-…``."""

STAGING = "tmp-checkpoint-"
"""Begins the name of a Trainer's folder until it is whole (``transformers/trainer.py``, 4.36)."""

LEADS_NOWHERE = "is a symbolic link to nothing"
"""The problem of a link that is a checkpoint by its name."""

LABELS = ("last", "best", "latest", "model_best", "checkpoint_last", "checkpoint_best")
"""Names that training code gives to a second name of a file: of several hard links, the target has another one."""


def check_root(root: str) -> None:
    """Raises RootError, one line, where ``root`` can't be scanned at all."""
    if not is_utf8(root):
        raise RootError(f"{root!a}: its name isn't UTF-8; rename it")
    try:
        with os.scandir(root) as entries:
            next(entries, None)
    except FileNotFoundError as error:
        raise RootError(f"{root}: no such folder") from error
    except NotADirectoryError as error:
        raise RootError(f"{root}: is a file; give the folder that holds the checkpoints") from error
    except PermissionError as error:
        raise RootError(f"{root}: may not be read; check its permissions") from error
    except OSError as error:
        raise RootError(f"{root}: {error.strerror}") from error


class Walk:
    """Iterates over the candidates of ``root`` (absolute), or of its folder ``below`` (relative), sorted by folder.

    With ``places`` (sorted, real folders below real folders) only these parts of it are gone through, and of a folder
    that is reached through a link, only whether it is a checkpoint is told; ``listed`` has the folders that were seen.

    After the iteration ``problems`` holds what could not be read, and ``unlisted`` the folders and files (relative to
    the root) that may not be read: their rows, and those below them, must not be taken for missing. A folder reached
    through a symbolic link is walked once, after all real ones, and under its own path where that lies in the root. A
    folder that is one checkpoint is one candidate, and none of its parts is; it is told from its listing.
    """

    def __init__(
        self,
        root: str,
        *,
        below: str = "",
        places: Sequence[Place] = (),
        suffixes: tuple[str, ...] = CHECKPOINT_SUFFIXES,
        config_names: tuple[str, ...] = PLAIN_CONFIGS,
    ) -> None:
        self.root = root
        self.below = below
        self.problems: list[Problem] = []
        self.unlisted: list[str] = []
        self._suffixes = suffixes
        self._config_names = config_names
        self._prefix = "/" if root == "/" else f"{root}/"
        self._places = tuple(places)
        self._wanted = dict(self._places)
        self.listed: dict[str, int | None] = {}
        self._hard_links: dict[tuple[int, int], str] = {}
        self._link_counts: dict[tuple[int, int], int] = {}
        self._names_seen: Counter[tuple[int, int]] = Counter()
        self._folder_links: list[tuple[str, str, Folder]] = []

    def __iter__(self) -> Iterator[Candidate]:
        for folder, depth in self._places or (Place(self.below),):
            if folder in self.listed and _reaches(self.listed[folder], depth):
                continue
            start = self._prefix + folder if folder else self.root
            yield from self._walk(start, folder, Folder.above(start, self._config_names), depth=depth)
        if self._places:
            for path, rel_path, parent in self._folder_links:
                yield from self._walk(path, rel_path, parent, _Link(os.path.realpath(path), frozenset(), True))
            return
        walked = {os.path.realpath(self.root)}
        while self._folder_links:
            path, rel_path, parent = self._folder_links.pop(0)
            real = os.path.realpath(path)
            again = any(real == known or real.startswith(known.rstrip("/") + "/") for known in walked)
            yield from self._walk(path, rel_path, parent, _Link(real, frozenset(walked), again))
            if not again:
                walked.add(real)

    def judges(self, rel_path: str) -> bool:
        """After a walk of places: whether something that it didn't come by is gone, and not just out of its sight."""
        path = self._prefix + rel_path
        if os.path.isdir(path):
            return ("" if rel_path == "." else rel_path) in self.listed
        return rel_path.rpartition("/")[0] in self.listed or not os.path.isdir(os.path.dirname(path))

    @property
    def linked_elsewhere(self) -> list[int]:
        """Inodes of hard-linked files that have names which this walk didn't come by, as stamps have them."""
        return [signed_inode(key[1]) for key, count in self._link_counts.items() if self._names_seen[key] < count]

    @property
    def linked_folders(self) -> list[str]:
        """Links to folders outside of the root that this walk came by, relative."""
        root = os.path.realpath(self.root).rstrip("/")
        return [
            rel_path
            for path, rel_path, _ in self._folder_links
            if not f"{os.path.realpath(path)}/".startswith(f"{root}/")
        ]

    @staticmethod
    def sources_of(folder_path: str, name: str) -> tuple[Source, ...]:
        """The files that the row of one checkpoint depends on, as the walk would find them."""
        folder = Folder(folder_path, Folder.above(folder_path))
        try:
            with os.scandir(folder_path) as listing:
                folder.take(listing)
        except OSError:
            return ()
        path = f"{folder_path}/{name}"
        if not os.path.islink(path):
            return folder.sources_of(name)
        real = os.path.realpath(path)
        return folder.sources_of(name, name_beside(real, path), of_run=not leads_to_another_run(real, path))

    def chunks(self, size: int) -> Iterator[Iterator[Candidate]]:
        """The same in parts of ``size``: as far as a scan looks ahead. Each is to be gone through before the next."""
        candidates = iter(self)
        for first in candidates:
            yield chain([first], islice(candidates, size - 1))

    def _walk(
        self,
        start: str,
        rel_path: str,
        parent: Folder | None,
        link: _Link | None = None,
        depth: int | None = None,
    ) -> Iterator[Candidate]:
        """``link`` says where a linked ``start`` lies; ``depth`` how far to go below it."""
        stack: list[tuple[str, str, Folder | None, int | None]] = [(start, rel_path, parent, depth)]
        while stack:
            path, rel_path, parent, depth = stack.pop()
            if link is not None and path != start and link.real + path[len(start) :] in link.walked:
                continue
            try:
                entries = _listing(path, parent)
                here = link if link is not None and path == start else None
                parts = find_parts(path, (here.real if here else path).rpartition("/")[2], entries)
            except FileNotFoundError:
                continue
            except OSError as error:
                if is_utf8(rel_path):  # no row lies below another one
                    self.unlisted.append(rel_path)
                self.problems.append(Problem(path, None, f"folder can't be read: {error.strerror}"))
                continue
            if self._places:
                depth = self.listed[rel_path] = _deeper(depth, self._wanted.get(rel_path, depth))
            folder = Folder(path, parent, self._config_names)
            prefix = f"{rel_path}/" if rel_path else ""
            if parts is not None:
                yield from self._whole(path, rel_path, parts, parent, here)
            if here is not None and here.again:
                return
            found, below = self._sort_entries(entries, folder, prefix)
            if parts is not None:
                found = [entry for entry in found if entry.name not in parts.files]
                below = [name for name in below if name not in parts.folders]
            if found:
                found.sort(key=_labels_last)
                for entry in found:
                    candidate = self._candidate(entry, prefix + entry.name, folder)
                    if candidate is not None:
                        yield candidate
            if depth != 0:
                below.sort(reverse=True)
                further = None if depth is None else depth - 1
                stack.extend((f"{path}/{name}", prefix + name, folder, further) for name in below)

    def _whole(
        self, path: str, rel_path: str, parts: Parts, parent: Folder | None, link: _Link | None
    ) -> Iterator[Candidate]:
        """The folder itself as a candidate."""
        if not is_utf8(rel_path):
            self.problems.append(Problem(path, None, "its name isn't UTF-8; rename it to have it in the catalog"))
            return
        target = link.real if link is not None and is_utf8(link.real) else None
        beside, of_run = None, True
        if target is not None:
            beside, of_run = name_beside(target, path), not leads_to_another_run(target, path)
        sources = parent.sources_of(path.rpartition("/")[2], beside, of_run=of_run) if parent is not None else ()
        yield Candidate(self.root, rel_path or ".", parts.stamp, sources, target, parts.digest)

    def _sort_entries(
        self, entries: list[os.DirEntry[str]], folder: Folder, prefix: str
    ) -> tuple[list[os.DirEntry[str]], list[str]]:
        """Checkpoints by name, and folders to go into; what else there is, the folder remembers."""
        found: list[os.DirEntry[str]] = []
        below: list[str] = []
        suffixes = self._suffixes
        for entry in entries:
            name = entry.name
            if name.endswith(suffixes):
                if not is_folder(entry):
                    found.append(entry)
                    continue
            elif not is_folder(entry):
                folder.add(entry)
                if is_folder(entry, follow_links=True) and not passed_over(name):
                    self._folder_links.append((entry.path, prefix + name, folder))
                continue
            folder.add_folder(name)
            if not passed_over(name):
                below.append(name)
        return found, below

    def _candidate(self, entry: os.DirEntry[str], rel_path: str, folder: Folder) -> Candidate | None:
        if not is_utf8(rel_path):
            self.problems.append(Problem(entry.path, None, "its name isn't UTF-8; rename it to have it in the catalog"))
            return None
        try:
            status = entry.stat()
            if stat.S_ISDIR(status.st_mode):
                self._folder_links.append((entry.path, rel_path, folder))
            if not stat.S_ISREG(status.st_mode):
                return None
            stamp = stamp_of(status)
            target = beside = None
            of_run = True
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                of_run = not leads_to_another_run(target, entry.path)
                target = target if is_utf8(target) else None
                beside = name_beside(target, entry.path) if target is not None else None
                own = entry.stat(follow_symlinks=False)
                stamp = stamp._replace(inode=own.st_ino, device=own.st_dev)
            elif status.st_nlink > 1:
                key = status.st_dev, status.st_ino
                self._names_seen[key] += 1
                self._link_counts[key] = status.st_nlink
                first = self._hard_links.setdefault(key, rel_path)
                target = None if first == rel_path else self._prefix + first
        except OSError as error:
            broken = isinstance(error, FileNotFoundError) and os.path.islink(entry.path)
            if broken or not isinstance(error, FileNotFoundError):
                reason = LEADS_NOWHERE if broken else f"can't be read: {error.strerror}"
                self.problems.append(Problem(entry.path, None, reason))
            if isinstance(error, PermissionError):
                self.unlisted.append(rel_path)
            return None
        return Candidate(self.root, rel_path, stamp, folder.sources_of(entry.name, beside, of_run=of_run), target)


class _Link(NamedTuple):
    """``real`` is where the link leads; ``walked`` are real folders that were walked before, and ``again`` says that
    ``real`` is one of them, or inside."""

    real: str
    walked: frozenset[str]
    again: bool


def _deeper(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _reaches(walked: int | None, depth: int | None) -> bool:
    return walked is None or (depth is not None and depth <= walked)


def _listing(path: str, parent: Folder | None) -> list[os.DirEntry[str]]:
    """What lies in a folder; a layout may have looked into it before."""
    ahead = parent.ahead.pop(path.rpartition("/")[2], None) if parent is not None and parent.ahead else None
    if ahead is not None:
        return ahead
    with os.scandir(path) as listing:
        return list(listing)


def name_beside(real: str, link: str) -> str | None:
    """The name of what a symbolic link ends at, where that lies in the link's own folder."""
    folder, _, name = real.rpartition("/")
    return name if folder == os.path.realpath(os.path.dirname(link)).rstrip("/") else None


def leads_to_another_run(real: str, link: str) -> bool:
    """Whether what a symbolic link ends at is a checkpoint where another run has its own. A store of contents, such as
    DVC's, is no run: its names have no suffix, or it is passed over."""
    folder, _, name = real.rpartition("/")
    own = os.path.realpath(os.path.dirname(link)).rstrip("/")
    if folder == own or above_checkpoints(folder) == above_checkpoints(own):
        return False
    stored = any(map(passed_over, folder.split("/"))) or not name.endswith(CHECKPOINT_SUFFIXES)
    return os.path.isdir(real) or not stored


def passed_over(name: str) -> bool:
    return (
        name in PASSED_OVER
        or name.startswith(STAGING)
        or name.endswith(".tmp")
        or ("run-" in name and WANDB_RUN_FOLDER.fullmatch(name) is not None)
    )


def _labels_last(entry: os.DirEntry[str]) -> tuple[bool, str]:
    return entry.name.startswith(LABELS), entry.name
