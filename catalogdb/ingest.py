"""The one junction: discovery → resolve → store. Scanning and watching are two doors into it."""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from catalogdb.discovery import PLAIN_CONFIGS, Walk, fingerprint
from catalogdb.reading import CandidateReader, Reader, Reading, ReadingProcesses, can_fork
from catalogdb.records import (
    TIERS,
    Candidate,
    Finding,
    Problem,
    Progress,
    Resolution,
    ScanReport,
    State,
    Tier,
)
from catalogdb.resolve import ResolverChain
from catalogdb.store import Known, Ledger, Root

LOOKAHEAD = 20_000
"""Candidates a scan holds at once: a move is recognised within them, and most trees are smaller."""

BATCH = 512
"""Checkpoints per transaction."""

WORTH_PROCESSES = 2_000
"""Checkpoints to read from which on reading in several processes pays."""

MAX_PROCESSES = 8
"""Beyond, the one writer is the narrow place."""

COUNTED = (*TIERS, "new", "updated", "unchanged", "moved", "missing", "writing", "unreadable", "foreign")
STATE_COUNTS: dict[State, str] = {"writing": "writing", "unreadable": "unreadable", "truncated": "unreadable"}
"""The count of the report that a state adds to."""


@dataclass(slots=True)
class Tally:
    """The counts of a scan while it runs."""

    counts: Counter[str]
    problems: list[Problem]
    found: int = 0
    resolved: int = 0
    total: int | None = None


class Ingest:
    """Takes candidates through the chain into the ledger. ``clock`` gives seconds since the epoch."""

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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._chain = chain
        self._suffixes = suffixes
        self._config_names = config_names
        self._workers = workers
        self._full = full
        self._on_progress = on_progress
        self._clock = clock

    def scan(self, roots: Sequence[str]) -> ScanReport:
        """Brings the rows of ``roots`` (absolute paths of folders that can be listed) in line with the disk."""
        started = time.perf_counter()
        tally = Tally(Counter(), [])
        reader = CandidateReader(self._chain, full=self._full, clock=self._clock)
        with _without_cycle_collection(), Readers(reader, self._workers) as readers:
            for root in roots:
                self._scan_root(root, tally, readers)
        self._ledger.optimize()
        return ScanReport(
            roots=tuple(roots),
            total=sum(tally.counts[tier] for tier in TIERS),
            seconds=time.perf_counter() - started,
            problems=tuple(tally.problems),
            **{name: tally.counts[name] for name in COUNTED},
        )

    def _scan_root(self, path: str, tally: Tally, readers: Readers) -> None:
        root, rows, foreign = self._ledger.open_root(path)
        walk = Walk(root.path, below=root.below, suffixes=self._suffixes, config_names=self._config_names)
        moved: set[int] = set()
        for chunk in walk.chunks(LOOKAHEAD):
            tally.found += len(chunk)
            tally.total = tally.found if len(chunk) < LOOKAHEAD else None
            changed = [*self._changed(chunk, rows, foreign, tally)]
            moves = self._ledger.follow_moves(root, [candidate for candidate, _, _ in changed])
            moved.update(moves.values())
            self._report(tally)
            batches = [changed[start : start + BATCH] for start in range(0, len(changed), BATCH)]
            candidates = ([candidate for candidate, _, _ in batch] for batch in batches)
            for batch, readings in zip(batches, readers.of(len(changed)).read_batches(candidates), strict=True):
                self._take(root, batch, readings, moves, moved, tally)
                self._report(tally)
        gone = [row for rel_path, row in rows.items() if _was_listed(rel_path, walk.unlisted)]
        missing = [row.id for row in gone if row.state != "missing" and row.id not in moved]
        tally.counts["missing"] += len(missing)
        tally.problems.extend(walk.problems)
        self._ledger.finish(
            root,
            missing=missing,
            gone=[rel_path for rel_path in foreign if _was_listed(rel_path, walk.unlisted)],
            problems=walk.problems,
        )

    def _changed(
        self, chunk: Iterable[Candidate], rows: dict[str, Known], foreign: dict[str, int], tally: Tally
    ) -> Iterator[tuple[Candidate, int, Known | None]]:
        """Candidates that have to be read. Those seen are taken out of ``rows`` and ``foreign``."""
        counts = tally.counts
        for candidate in chunk:
            known = rows.pop(candidate.rel_path, None)
            foreign_as = foreign.pop(candidate.rel_path, None)
            mark = fingerprint(candidate)
            if known is None:
                if foreign_as != mark or self._full:
                    yield candidate, mark, None
                    continue
                counts["foreign"] += 1
            elif known.fingerprint != mark or known.recheck or known.state == "missing" or self._full:
                yield candidate, mark, known
                continue
            else:
                counts["unchanged"] += 1
                counts[known.source] += 1
                counts["unreadable"] += known.state in ("unreadable", "truncated")
            tally.resolved += 1

    def _take(
        self,
        root: Root,
        batch: Sequence[tuple[Candidate, int, Known | None]],
        readings: Sequence[Reading],
        moves: dict[str, int],
        moved: set[int],
        tally: Tally,
    ) -> None:
        """Writes one batch in one transaction."""
        resolved: list[tuple[Resolution, int]] = []
        foreign: list[tuple[str, int, str | None]] = []
        vanished: list[int] = []
        for reading, (candidate, mark, known) in zip(readings, batch, strict=True):
            if known is not None and known.id in moved:
                known = None
            row_id = moves.get(candidate.rel_path, known.id if known else None)
            if reading.header_state is None:
                vanished.extend([row_id] if row_id is not None else [])
                continue
            if reading.header_state == "foreign" and row_id is None and candidate.source("sidecar") is None:
                foreign.append((candidate.rel_path, mark, reading.reason))
                continue
            resolution = reading.resolve(self._earlier(row_id, candidate))
            resolved.append((resolution, mark))
            event = "moved" if candidate.rel_path in moves else "new" if known is None else "updated"
            tally.counts.update((event, resolution.source, STATE_COUNTS.get(resolution.state, "ready")))
            tally.problems.extend(resolution.problems)
        self._ledger.write(root, resolved, foreign, vanished)
        tally.counts["missing"] += len(vanished)
        tally.counts["foreign"] += len(foreign)
        tally.resolved += len(batch)

    def _earlier(self, row_id: int | None, candidate: Candidate) -> Callable[[Tier], Finding | None]:
        """What a tier said of the row before, as long as the file is unchanged."""

        def earlier(tier: Tier) -> Finding | None:
            return self._ledger.said_before(row_id, candidate.stamp, tier) if row_id is not None else None

        return earlier

    def _report(self, tally: Tally) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(tally.found, tally.resolved, tally.total, len(tally.problems)))


class Readers:
    """The reader for so many candidates: this process, or for many of them several, started when first needed.

    ``workers`` is their number; 1 is this process alone, None as many as there are processors, up to 8.
    """

    def __init__(self, reader: CandidateReader, workers: int | None) -> None:
        self._reader = reader
        self._workers = workers
        self._processes: ReadingProcesses | None = None

    def of(self, candidates: int) -> Reader:
        if self._processes is None and candidates >= WORTH_PROCESSES:
            count = self._workers or min(len(os.sched_getaffinity(0)), MAX_PROCESSES) if can_fork() else 1
            if count > 1:
                self._processes = ReadingProcesses(self._reader, count)
        return self._processes if self._processes is not None and candidates >= WORTH_PROCESSES else self._reader

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._processes is not None:
            self._processes.close()


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


def _was_listed(rel_path: str, unlisted: Sequence[str]) -> bool:
    """Whether the walk saw the folder that the file would lie in, or that it is."""
    return not any(f"{rel_path}/".startswith(f"{folder}/") or not folder for folder in unlisted)
