"""What is asked of the junction: whole scans, looks at single paths, and what a watcher wants to know of its roots."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from catalogdb.discovery import PLAIN_CONFIGS, Walk, check_root, is_utf8, places_of
from catalogdb.errors import UsageError
from catalogdb.ingest.alignment import Alignment, Top, folder_of
from catalogdb.ingest.partial import PartialLook
from catalogdb.ingest.tally import Tally
from catalogdb.ingest.whole import scan_root
from catalogdb.limits import DEFAULT, Limits
from catalogdb.reading import CandidateReader, Readers
from catalogdb.records import Change, Place, Progress, ScanReport
from catalogdb.resolve import ResolverChain
from catalogdb.store import Ledger, Root

if TYPE_CHECKING:
    from catalogdb.resolve.wandb import RunLookup, RunQuestions


class Ingest:
    """Takes candidates through the chain into the ledger. ``clock`` gives seconds since the epoch.

    ``on_change`` is told of rows that say something new.

    ``questions`` and ``runs`` are W&B's: what is asked of it, and who answers.
    """

    def __init__(
        self,
        ledger: Ledger,
        chain: ResolverChain,
        *,
        suffixes: tuple[str, ...],
        config_names: tuple[str, ...] = PLAIN_CONFIGS,
        workers: int | None = None,
        full: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        on_change: Callable[[Change], None] | None = None,
        runs: RunLookup | None = None,
        questions: RunQuestions | None = None,
        limits: Limits = DEFAULT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._reader = CandidateReader(chain, full=full, clock=clock, questions=questions, limits=limits)
        self._walk_of = partial(Walk, suffixes=suffixes, config_names=config_names)
        self._workers = workers
        self._full = full
        self._on_progress = on_progress
        self._on_change = on_change
        self._runs = runs

    def scan(self, roots: Sequence[str]) -> ScanReport:
        """Brings the rows of ``roots`` (absolute paths of folders that can be listed) in line with the disk."""
        with self._aligning(ask_anew=True) as alignment:
            for root in roots:
                scan_root(alignment, root, self._walk_of)
            self._ledger.optimize()
        return alignment.tally.report(roots)

    def rescan_paths(self, paths: Iterable[str]) -> ScanReport:
        """The same for absolute paths of files and folders in known roots, there or gone.

        Raises UsageError for a path in no known root, and for one that isn't UTF-8.
        """
        roots = self._ledger.roots()
        wanted: dict[str, list[str]] = {}
        for path in paths:
            root = _root_of(path, roots)
            if root is None:
                path = os.path.realpath(path)
                root = _root_of(path, roots)
            if root is None:
                raise UsageError(f"{path}: lies in no folder that was scanned; scan that first")
            if not is_utf8(path):
                raise UsageError(f"{path!a}: its name isn't UTF-8; rename it to have it in the catalog")
            wanted.setdefault(root, []).append(path[len(root.rstrip("/")) + 1 :])
        reports = [
            self.rescan(root, [place for path in rel for place in places_of(path)], touched=rel)
            for root, rel in wanted.items()
        ]
        return ScanReport.of_all(reports)

    def rescan(
        self, path: str, wanted: Iterable[Place], *, touched: Iterable[str] = (), ask_anew: bool = False
    ) -> ScanReport:
        """Brings some places of a root in line with the disk: afterwards the rows are those that a scan would leave.

        ``touched`` are paths (relative to the root) that may have changed: rows elsewhere that link to them, or have
        them as a source, are looked at as well. A W&B server that failed in the look before is asked with ``ask_anew``
        alone. Raises RootError, before anything is written, where ``path`` can't be listed: its rows aren't missing
        then.
        """
        check_root(path)
        with self._aligning(ask_anew=ask_anew) as alignment:
            part = self._ledger.open_part(path)
            look = PartialLook(alignment, Root(part.id, part.path, ""), Top.at(path), self._walk_of)
            places = [Place(_below(part, folder), depth) for folder, depth in wanted if is_utf8(folder)]
            if not look.align(places, [_below(part, each) for each in touched if is_utf8(each)]):
                scan_root(alignment, path, self._walk_of)
        return alignment.tally.report([path])

    def expiring(self, path: str) -> tuple[list[Place], str | None]:
        """Where the rows below a root are of which W&B has to be asked again: their run was still going, or it could
        not be asked. And when the next ones will be (ISO 8601, UTC), None for never."""
        if self._runs is None:
            return [], None
        rel_paths, moment = self._ledger.expiring(path)
        return [Place(folder, 0) for folder in dict.fromkeys(map(folder_of, rel_paths))], moment

    def set_in_reach(self, path: str) -> None:
        """What lies below can be reached again."""
        self._ledger.set_in_reach(path)

    def set_out_of_reach(self, path: str) -> bool:
        """What can't be reached has stale rows and no missing ones, until it can be. False where no row can lie there:
        it is no root, and neither in one nor above one."""
        return self._ledger.set_out_of_reach(path)

    @contextmanager
    def _aligning(self, *, ask_anew: bool) -> Iterator[Alignment]:
        tally = Tally()
        if self._runs is not None:
            self._runs.begin(ask_anew=ask_anew)
        with _without_cycle_collection(), Readers(self._reader, self._workers) as readers:
            yield Alignment(
                self._ledger,
                readers,
                tally,
                full=self._full,
                runs=self._runs,
                on_progress=self._on_progress,
                on_change=self._on_change,
            )


@contextmanager
def _without_cycle_collection() -> Iterator[None]:
    """A scan makes many objects and no cycles: Python's search for cycles took a quarter of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _below(root: Root, rel_path: str) -> str:
    """A path relative to the scanned part of a root, as one relative to the root."""
    return f"{root.below}/{rel_path}".strip("/") if root.below else rel_path


def _root_of(path: str, roots: Iterable[str]) -> str | None:
    return next((root for root in roots if f"{path}/".startswith(f"{root.rstrip('/')}/")), None)
