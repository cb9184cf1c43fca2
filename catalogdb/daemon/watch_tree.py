"""The folders of a root, each watched under the name that it has now (Linux).

An event only says where to look. watchdog's own tree of watches acts on it with what lies on the disk by then: where a
folder is made, renamed, and made again before its first event is read, it watches the second one under both names, and
the first under none; a folder that is made just before the root is away for a moment is never watched. So no watch is
made from an event here: before each look at the rows of a place, ``renew`` makes the watches those of the folders that
are there. What changes before a folder is watched is seen by that look, what changes later gives an event.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Iterator
from functools import reduce
from operator import or_

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

from catalogdb.daemon.hints import Hints
from catalogdb.discovery import HYDRA_FOLDER, is_folder, passed_over

MASK = Mask(
    reduce(
        or_,
        (
            InotifyConstants.IN_CREATE,
            InotifyConstants.IN_CLOSE_WRITE,
            InotifyConstants.IN_MOVED_FROM,
            InotifyConstants.IN_MOVED_TO,
            InotifyConstants.IN_DELETE,
            InotifyConstants.IN_MODIFY,
            InotifyConstants.IN_ATTRIB,
            InotifyConstants.IN_MOVE_SELF,
            InotifyConstants.IN_ONLYDIR,
            InotifyConstants.IN_DONT_FOLLOW,
        ),
    )
)
"""Openings and readings are left out: with them a third of 3,000 files a second was lost, without them none."""


class Folder:
    """A watched folder: its watch, its name, the one that it lies in (None for the root, and where that isn't known any
    more), and those that lie in it."""

    __slots__ = ("above", "below", "name", "watch")

    def __init__(self, watch: WatchDescriptor) -> None:
        self.watch = watch
        self.name = ""
        self.above: Folder | None = None
        self.below: dict[str, Folder] = {}

    def lies_in(self, other: Folder) -> bool:
        """At any level; a folder lies in itself, too."""
        folder: Folder | None = self
        while folder is not None and folder is not other:
            folder = folder.above
        return folder is not None


class WatchTree:
    """Called by watchdog's thread with events, which it passes on as hints; ``renew`` and ``close`` are for one other.

    ``telling`` are the ends of names whose files are looked at while they are being written. Raises OSError where the
    root itself can't be watched.
    """

    def __init__(self, root: str, inotify: InotifyFD, hints: Hints, telling: tuple[str, ...]) -> None:
        self._root = root
        self._inotify = inotify
        self._hints = hints
        self._telling = telling
        self._id = CallbackId(id(self))
        self._lock = threading.Lock()
        self._folders: dict[WatchDescriptor, Folder] = {}
        self._strays: list[Folder] = []
        self.limit: OSError | None = None
        """Of a folder that was one too many to be watched."""
        with self._lock:
            watch = self._add(root)
            self._top = self._folders[watch] = Folder(watch)
        self.renew([root])

    def __len__(self) -> int:
        return len(self._folders)

    def __iter__(self) -> Iterator[str]:
        """Their paths."""
        with self._lock:
            paths = [self._path_of(folder) for folder in self._folders.values()]
        return iter([path for path in paths if path is not None])

    def renew(self, paths: Iterable[str]) -> None:
        """Below each of these (absolute, at or below the root, there or gone), what is there is watched, nothing else.

        A folder that moves meanwhile has an event on its way, and is renewed because of it.
        """
        last: list[str] | None = None
        for parts in sorted(path[len(self._root) :].strip("/").split("/") for path in paths):
            parts = [part for part in parts if part]
            if last is None or parts[: len(last)] != last:
                last = parts
                self._renew(parts)
        with self._lock:
            strays, self._strays = self._strays, []
            self._drop(folder for folder in strays if folder.above is None)

    def close(self) -> None:
        with self._lock:
            self._drop([*self._folders.values()])

    # -- what watchdog calls -----------------------------------------------------------------------------------------

    def on_event(self, event: InotifyEvent) -> None:
        with self._lock:
            folder = self._folders.get(event.wd)
            above = None if folder is None else self._path_of(folder)
        if event.is_move_self:
            if folder is self._top:
                self._hints.distrust(self._root, "it was moved")
            return
        if above is None or not event.name:
            return
        path = f"{above.rstrip('/')}/{os.fsdecode(event.name)}"
        is_file = not event.is_directory
        if is_file and (event.is_modify or event.is_attrib):
            if path.endswith(self._telling):
                self._hints.note(self._root, path, "modified")
        elif is_file and event.is_create:
            self._hints.note(self._root, path, "created")
        else:
            self._hints.note(self._root, path, "done", is_file=is_file)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        with self._lock:
            folder = self._folders.pop(wd, None)
            if folder is not None:
                self._detach(folder)
                for below in [*folder.below.values()]:  # they went elsewhere before
                    self._stray(below)

    def on_queue_overflow(self) -> None:
        self._hints.overflow(self._root)

    # -- the tree ----------------------------------------------------------------------------------------------------

    def _renew(self, parts: list[str]) -> None:
        folder: Folder | None = self._top
        path = self._root.rstrip("/")
        for part in parts:
            path = f"{path}/{part}"
            folder = self._watch(path, folder, part) if folder is not None and is_wanted(part) else None
        stack = [(path, folder)] if folder is not None else []
        while stack:
            path, folder = stack.pop()
            names = _folders_in(path or "/")
            if names is None:  # it went: it's renewed for that
                continue
            with self._lock:
                for gone in folder.below.keys() - names:
                    self._stray(folder.below[gone])
            for name in names:
                below = self._watch(f"{path}/{name}", folder, name)
                if below is not None:
                    stack.append((f"{path}/{name}", below))

    def _watch(self, path: str, above: Folder, name: str) -> Folder | None:
        """The folder that is at ``path`` now, in its place in the tree; None where there is none to be watched."""
        with self._lock:
            known = above.below.get(name)
            try:
                watch = self._add(path)
            except OSError as error:  # gone, no folder, not ours to read, or one too many
                if error.errno == errno.ENOSPC:
                    self.limit = error
                if known is not None:
                    self._stray(known)
                return None
            folder = self._folders.get(watch)
            if folder is None:
                folder = self._folders[watch] = Folder(watch)
            if folder is known:
                return folder
            if above.lies_in(folder):  # folders changed places between two steps: more events are on their way
                return None
            if known is not None:
                self._stray(known)
            self._detach(folder)
            folder.above, folder.name = above, name
            above.below[name] = folder
            return folder

    def _add(self, path: str) -> WatchDescriptor:
        watch = self._inotify.add_callback(os.fsencode(path), MASK, self, self._id)
        if watch < 0:  # of a folder that may not be read watchdog says nothing
            self._inotify.remove_callbacks([(watch, self._id)])
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return watch

    def _stray(self, folder: Folder) -> None:
        """It isn't where it was: gone, or somewhere that will be renewed."""
        self._detach(folder)
        self._strays.append(folder)

    def _detach(self, folder: Folder) -> None:
        if folder.above is not None:
            del folder.above.below[folder.name]
            folder.above = None

    def _drop(self, folders: Iterable[Folder]) -> None:
        """Ends the watches of folders and of all below them."""
        stack = [*folders]
        while stack:
            folder = stack.pop()
            stack += folder.below.values()
            if self._folders.pop(folder.watch, None) is not None:
                self._inotify.remove_callbacks([(folder.watch, self._id)])

    def _path_of(self, folder: Folder) -> str | None:
        """None for a folder whose place isn't known."""
        names = []
        while folder.above is not None:
            names.append(folder.name)
            folder = folder.above
        if folder is not self._top:
            return None
        return "/".join([self._root.rstrip("/"), *reversed(names)]) or "/"


def is_wanted(name: str) -> bool:
    """Whether a folder may hold what a row depends on. Watches are few, and .git alone may have a thousand."""
    return name == HYDRA_FOLDER or not passed_over(name)


def _folders_in(path: str) -> set[str] | None:
    """The names of those that are wanted; None where the folder can't be listed."""
    try:
        with os.scandir(path) as entries:
            return {entry.name for entry in entries if is_folder(entry) and is_wanted(entry.name)}
    except OSError:
        return None
