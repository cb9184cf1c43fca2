"""Systems other than Linux: watchdog's observer."""

from __future__ import annotations

import os
from collections.abc import Iterable

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
from watchdog.observers.api import ObservedWatch

from catalogdb.daemon.hints import Hints
from catalogdb.discovery import DOCUMENT_SUFFIXES

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


class WatchdogObserving:
    """``Observing`` where the system itself watches what is below a folder, or watchdog does so by its own means."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._observer = Observer()
        self._watches: dict[str, ObservedWatch] = {}

    def start(self) -> None:
        self._observer.start()

    def stop(self) -> None:
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()

    def watch(self, root: str, suffixes: tuple[str, ...]) -> str | None:
        self.unwatch(root)
        handler = Handler(root, self._hints, suffixes)
        try:
            self._watches[root] = self._observer.schedule(handler, root, recursive=True, event_filter=ACTED_ON)
        except OSError as error:
            return f"can't be watched: {error.strerror or error}"
        return None

    def unwatch(self, root: str) -> None:
        watch = self._watches.pop(root, None)
        if watch is not None:
            self._observer.unschedule(watch)

    def renew(self, root: str, folders: Iterable[str]) -> str | None:
        del root, folders
        return None
