"""Events of roots as the system gives them. What watchdog keeps to itself is noticed here: a full queue, and folders
that could not be watched.

``BaseObserver``, ``InotifyEmitter`` and ``InotifyFD`` are watchdog 7's (``watchdog/observers/inotify.py``, as its own
``InotifyObserver`` puts them together).
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from catalogdb.daemon.hints import Hints
from catalogdb.discovery import DOCUMENT_SUFFIXES, HYDRA_FOLDER, passed_over

ACTED_ON: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""Openings and readings are left out: with them a third of 3,000 files a second was lost, without them none."""

STILL_GOING_ON = (FileModifiedEvent, FileAttribEvent)


class Handler(FileSystemEventHandler):
    """Passes events of one root on, and does nothing else: a handler that raises would end watchdog's thread."""

    def __init__(self, root: str, hints: Hints, suffixes: tuple[str, ...]) -> None:
        self._root = root
        self._prefix = f"{root.rstrip('/')}/"
        self._hints = hints
        self._telling = (*suffixes, *DOCUMENT_SUFFIXES)

    def dispatch(self, event: FileSystemEvent) -> None:
        for place in (event.src_path, event.dest_path):
            path = os.fsdecode(place)
            if not path.startswith(self._prefix):
                continue
            if isinstance(event, STILL_GOING_ON):
                if path.endswith(self._telling):
                    self._hints.note(self._root, path, "modified")
            elif isinstance(event, FileCreatedEvent):
                self._hints.note(self._root, path, "created")
            else:
                self._hints.note(self._root, path, "done", is_file=not event.is_directory)


class Observing:
    """The observer, its watches, and what went wrong with them. ``on_overflow`` is called from watchdog's thread."""

    def __init__(self, hints: Hints, *, on_overflow: Callable[[], None]) -> None:
        self._hints = hints
        self._watches: dict[str, ObservedWatch] = {}
        self._roots: set[str] = set()
        self.unwatched: int | None = None
        self._observer = _observer(on_overflow, self._note_limit, self._is_wanted)

    def start(self) -> None:
        # What it warns of is noticed, and said in our words; that a folder is watched already is nothing to be told.
        logging.getLogger("watchdog").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        self._observer.start()

    def stop(self) -> None:
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()

    def watch(self, root: str, suffixes: tuple[str, ...]) -> str | None:
        """Watches a root with all below it; ``suffixes`` are those of checkpoints.

        Returns why that is not possible: its events can't be relied on then.
        """
        self.unwatched = None
        self.unwatch(root)
        self._roots.add(root)
        handler = Handler(root, self._hints, suffixes)
        try:
            self._watches[root] = self._observer.schedule(handler, root, recursive=True, event_filter=ACTED_ON)
        except OSError as error:
            return _limit(error.errno) or f"can't be watched: {error.strerror or error}"
        return self.shortage()

    def unwatch(self, root: str) -> None:
        watch = self._watches.pop(root, None)
        if watch is not None:
            self._observer.unschedule(watch)

    def shortage(self) -> str | None:
        """Why folders aren't watched that should be: since the last ``watch``, one too many was made."""
        return _limit(self.unwatched) if self.unwatched is not None else None

    def _note_limit(self, number: int) -> None:
        self.unwatched = number

    def _is_wanted(self, folder: str) -> bool:
        """Whether a folder may hold what a row depends on. Watches are few, and .git alone may have a thousand."""
        for root in self._roots:
            if folder.startswith(f"{root.rstrip('/')}/"):
                below = folder[len(root) :].strip("/").split("/")
                return not any(passed_over(part) and part != HYDRA_FOLDER for part in below)
        return True


def _limit(number: int | None) -> str | None:
    """The system's limits as a user meets them (``inotify(7)``)."""
    if number == errno.ENOSPC:
        return "more folders than may be watched: raise it with sysctl fs.inotify.max_user_watches=1048576"
    if number == errno.EMFILE:
        return "more watchers than may run: raise it with sysctl fs.inotify.max_user_instances=1024"
    return None


def _observer(
    on_overflow: Callable[[], None], on_limit: Callable[[int], None], is_wanted: Callable[[str], bool]
) -> BaseObserver:
    if sys.platform != "linux":
        return Observer()
    from watchdog.observers.inotify import InotifyEmitter  # noqa: PLC0415 - there on Linux alone
    from watchdog.observers.inotify_c import InotifyFD  # noqa: PLC0415

    class Instance(InotifyFD):
        """watchdog's inotify instance: of a full queue it only logs, of a folder that can't be watched it's silent."""

        def handle_event(self, event: Any) -> None:
            super().handle_event(event)
            if event.is_queue_overflow:
                on_overflow()

        def add_callback(self, path: bytes, *rest: Any) -> Any:
            if not is_wanted(os.fsdecode(path)):
                raise PermissionError(errno.EACCES, "holds no checkpoints")
            try:
                return super().add_callback(path, *rest)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EMFILE):
                    on_limit(error.errno)
                raise

    class InotifyObserver(BaseObserver):
        def __init__(self) -> None:
            self._instance = Instance()
            self._instance.start()
            super().__init__(InotifyEmitter, inotify_fd=self._instance)

        def on_thread_stop(self) -> None:
            super().on_thread_stop()
            self._instance.stop()
            self._instance.join()

    return InotifyObserver()
