"""Linux: one inotify instance, and a tree of watches for each root."""

from __future__ import annotations

import errno
import logging
import warnings
from collections.abc import Iterable

from watchdog.observers.inotify_c import InotifyFD

from catalogdb.daemon.hints import Hints
from catalogdb.daemon.watch_tree import WatchTree
from catalogdb.discovery import DOCUMENT_SUFFIXES


class InotifyObserving:
    """``Observing`` by watchdog's reader of events alone: which folders are watched is our own affair."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._inotify: InotifyFD | None = None
        self._trees: dict[str, WatchTree] = {}
        self._why_not: str | None = None

    def start(self) -> None:
        # What it warns of is noticed, and said in our words; that a folder is watched already is nothing to be told.
        logging.getLogger("watchdog").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        try:
            self._inotify = InotifyFD()
        except OSError as error:
            self._why_not = _reason(error)
        else:
            self._inotify.start()

    def stop(self) -> None:
        if self._inotify is not None:
            self._inotify.stop()
            self._inotify.join()
            self._inotify = None
            self._trees.clear()

    def watch(self, root: str, suffixes: tuple[str, ...]) -> str | None:
        self.unwatch(root)
        if self._inotify is None:
            return self._why_not or "watching has not begun"
        try:
            self._trees[root] = WatchTree(root, self._inotify, self._hints, (*suffixes, *DOCUMENT_SUFFIXES))
        except OSError as error:
            return _reason(error)
        return self._shortage(root)

    def unwatch(self, root: str) -> None:
        tree = self._trees.pop(root, None)
        if tree is not None:
            tree.close()

    def renew(self, root: str, folders: Iterable[str]) -> str | None:
        if root not in self._trees or self._inotify is None:
            return None
        if not self._inotify.is_alive():
            return "its events ended, which they never should"
        self._trees[root].renew(folders)
        return self._shortage(root)

    def _shortage(self, root: str) -> str | None:
        limit = self._trees[root].limit
        return None if limit is None else _reason(limit)


def _reason(error: OSError) -> str:
    """The system's limits as a user meets them (``inotify(7)``)."""
    if error.errno == errno.ENOSPC:
        return "more folders than may be watched: raise it with sysctl fs.inotify.max_user_watches=1048576"
    if error.errno == errno.EMFILE:
        return "more watchers than may run: raise it with sysctl fs.inotify.max_user_instances=1024"
    return f"can't be watched: {error.strerror or error}"
