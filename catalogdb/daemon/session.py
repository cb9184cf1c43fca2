"""The catalog in a watcher's hand: opened, opened again when its file was replaced, and let go of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from catalogdb.catalog import Catalog
from catalogdb.ingest import Ingest
from catalogdb.records import Change, Progress
from catalogdb.settings import Settings, database_file
from catalogdb.store import Pulse


class Session:
    """``settings`` may be set anew; they hold from the next opening on. The worker's thread opens and closes it, the
    main one beats."""

    def __init__(
        self,
        settings: Settings,
        roots: Sequence[str],
        *,
        use_wandb: bool,
        on_change: Callable[[Change], None],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.settings = settings
        self._roots = tuple(roots)
        self._use_wandb = use_wandb
        self._on_change = on_change
        self._on_progress = on_progress
        self._opened = ExitStack()
        self._catalog: Catalog | None = None
        self._ingest: Ingest | None = None
        self._file: tuple[int, int] | None = None
        self._held = settings
        self._changing = threading.Lock()

    def open(self) -> None:
        """Opens the catalog, or makes it, and takes the lease. Raises DatabaseError, AlreadyWatched, SchemaOutdated."""
        self.close()
        with self._changing, ExitStack() as stack:
            settings = self.settings
            catalog = stack.enter_context(Catalog.open(settings=settings))
            catalog.lease(self._roots).acquire()
            ingest = stack.enter_context(
                catalog.ingesting(use_wandb=self._use_wandb, on_change=self._on_change, on_progress=self._on_progress)
            )
            self._opened = stack.pop_all()
            self._catalog, self._ingest, self._file, self._held = catalog, ingest, self._identity(), settings

    def close(self) -> None:
        with self._changing:
            self._catalog = self._ingest = None
            self._opened.close()

    @property
    def is_open(self) -> bool:
        return self._catalog is not None

    @property
    def catalog(self) -> Catalog:
        if self._catalog is None:
            raise RuntimeError("the session isn't open")
        return self._catalog

    @property
    def ingest(self) -> Ingest:
        if self._ingest is None:
            raise RuntimeError("the session isn't open")
        return self._ingest

    def is_outdated(self) -> bool:
        """Whether the settings are others than those it was opened with."""
        return self.is_open and self.settings is not self._held

    def was_replaced(self) -> bool:
        """Whether the catalog's file is no longer the one that is open: deleted, or another one put in its place."""
        return self.is_open and self._identity() != self._file

    def beat(self, pulse: Pulse) -> None:
        """Raises AlreadyWatched where another watcher took over. A session that is being opened beats next time."""
        if self._changing.acquire(blocking=False):
            try:
                if self._catalog is not None:
                    self._catalog.lease(self._roots).beat(pulse)
            finally:
                self._changing.release()

    def release(self) -> None:
        self.catalog.lease(self._roots).release()

    def _identity(self) -> tuple[int, int] | None:
        path = database_file(self.settings.url)
        try:
            status = None if path is None else Path(path).stat()
        except OSError:
            return None
        return None if status is None else (status.st_dev, status.st_ino)
