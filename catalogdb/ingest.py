"""The one junction: discovery → resolve → store. Scanning and watching are two doors into it."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

from catalogdb.discovery import PLAIN_CONFIGS, Walk, fingerprint, state_of
from catalogdb.formats import glance, read_header
from catalogdb.records import (
    TIERS,
    Candidate,
    CheckpointHeader,
    Finding,
    Problem,
    Progress,
    Resolution,
    ScanReport,
    State,
    Tier,
)
from catalogdb.resolve import Answer, ResolverChain, merge
from catalogdb.store import Known, Ledger, Root

LOOKAHEAD = 20_000
"""Candidates a scan holds at once: a move is recognised within them, and most trees are smaller."""

BATCH = 512
"""Checkpoints per transaction."""

SLICE = 32
"""Checkpoints per task of a reading thread."""

COUNTED = (*TIERS, "new", "updated", "unchanged", "moved", "missing", "writing", "unreadable")
STATE_COUNTS: dict[State, str] = {"writing": "writing", "unreadable": "unreadable", "truncated": "unreadable"}
"""The count of the report that a state adds to."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A candidate with what its own bytes and the tiers say; ``header`` is None where the file vanished meanwhile."""

    candidate: Candidate
    fingerprint: int
    header: CheckpointHeader | None
    answers: tuple[Answer, ...] = ()
    barred: bool = False


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
        workers: int = 1,
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
        with _without_cycle_collection(), self._readers() as pool:
            for root in roots:
                self._scan_root(root, tally, pool)
        self._ledger.optimize()
        return ScanReport(
            roots=tuple(roots),
            total=sum(tally.counts[tier] for tier in TIERS),
            seconds=time.perf_counter() - started,
            problems=tuple(tally.problems),
            **{name: tally.counts[name] for name in COUNTED},
        )

    def _readers(self) -> AbstractContextManager[ThreadPoolExecutor | None]:
        return ThreadPoolExecutor(self._workers, "catalogdb-read") if self._workers > 1 else nullcontext()

    def _scan_root(self, path: str, tally: Tally, pool: ThreadPoolExecutor | None) -> None:
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
            for start in range(0, len(changed), BATCH):
                self._take(root, changed[start : start + BATCH], moves, moved, tally, pool)
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
        changed: Sequence[tuple[Candidate, int, Known | None]],
        moves: dict[str, int],
        moved: set[int],
        tally: Tally,
        pool: ThreadPoolExecutor | None,
    ) -> None:
        """Reads one batch, then writes it in one transaction."""
        readings = self._read_all([(candidate, mark) for candidate, mark, _ in changed], pool)
        resolved: list[tuple[Resolution, int]] = []
        foreign: list[tuple[str, int, str | None]] = []
        vanished: list[int] = []
        for reading, (candidate, mark, known) in zip(readings, changed, strict=True):
            if known is not None and known.id in moved:
                known = None
            row_id = moves.get(candidate.rel_path, known.id if known else None)
            if reading.header is None:
                vanished.extend([row_id] if row_id is not None else [])
                continue
            if reading.header.state == "foreign" and row_id is None and candidate.source("sidecar") is None:
                foreign.append((candidate.rel_path, mark, reading.header.reason))
                continue
            resolution = self._resolve(reading, row_id)
            resolved.append((resolution, mark))
            event = "moved" if candidate.rel_path in moves else "new" if known is None else "updated"
            tally.counts.update((event, resolution.source, STATE_COUNTS.get(resolution.state, "ready")))
            tally.problems.extend(resolution.problems)
        self._ledger.write(root, resolved, foreign, vanished)
        tally.counts["missing"] += len(vanished)
        tally.resolved += len(changed)

    def _resolve(self, reading: Reading, row_id: int | None) -> Resolution:
        assert reading.header is not None
        candidate, header = reading.candidate, reading.header
        if reading.barred:
            state: State = "unreadable"
        else:
            state = state_of(header.state, candidate.stamp, now=self._clock())

        def earlier(tier: Tier) -> Finding | None:
            return self._ledger.said_before(row_id, candidate.stamp, tier) if row_id is not None else None

        resolution = merge(candidate, header, state, reading.answers, earlier)
        return replace(resolution, recheck=True) if reading.barred else resolution

    def _read_all(self, work: Sequence[tuple[Candidate, int]], pool: ThreadPoolExecutor | None) -> list[Reading]:
        if pool is None or len(work) <= SLICE:
            return [self._read(candidate, mark) for candidate, mark in work]
        slices = [work[start : start + SLICE] for start in range(0, len(work), SLICE)]
        read = pool.map(lambda some: [self._read(candidate, mark) for candidate, mark in some], slices)
        return [reading for some in read for reading in some]

    def _read(self, candidate: Candidate, mark: int) -> Reading:
        barred = False
        try:
            if candidate.source("sidecar") is not None and not self._full:
                reading = self._glance(candidate, mark)
                if reading is not None:
                    return reading
            header = read_header(candidate.path)
        except FileNotFoundError:
            return Reading(candidate, mark, None)
        except OSError as error:
            barred = True
            header = CheckpointHeader(None, "unreadable", f"can't be read: {error.strerror or error}")
        return Reading(candidate, mark, header, self._chain.ask(candidate, header), barred)

    def _glance(self, candidate: Candidate, mark: int) -> Reading | None:
        """The fast path: a sidecar without fault that agrees with the epoch and step of the file; else None.

        It has to have the metric that was monitored as well: without it, the file's own score counts.
        """
        header = glance(candidate.path)
        if header is None:
            return None
        answers = self._chain.ask(candidate, header)
        found = next((answer.finding for answer in answers if answer.tier == "yaml"), None)
        if found is None or found.problems or "monitor" not in found.fields:
            return None
        return Reading(candidate, mark, header, answers) if found.fields["monitor"].value in found.metrics else None

    def _report(self, tally: Tally) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(tally.found, tally.resolved, tally.total, len(tally.problems)))


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
    """Whether the walk saw the folder that the file would lie in."""
    return not any(rel_path.startswith(f"{folder}/") or not folder for folder in unlisted)
