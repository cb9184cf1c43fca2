"""The one junction: discovery → resolve → store. Scanning and watching are two doors into it."""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalogdb.batches import Batch, Batches, Changed
from catalogdb.discovery import (
    LEADS_NOWHERE,
    PLAIN_CONFIGS,
    Places,
    Walk,
    check_root,
    covers,
    fingerprint,
    includes,
    is_utf8,
    places_of,
)
from catalogdb.errors import RootError, UsageError
from catalogdb.limits import DEFAULT, Limits
from catalogdb.reading import CandidateReader, Readers
from catalogdb.records import (
    TIERS,
    Candidate,
    Change,
    ChangeKind,
    Finding,
    Place,
    Problem,
    Progress,
    Resolution,
    ScanReport,
    State,
    Tier,
)
from catalogdb.resolve import ResolverChain, complete
from catalogdb.store import Known, Ledger, Root

if TYPE_CHECKING:
    from catalogdb.resolve.wandb import RunAnswer, RunLookup, RunQuestions

LOOKAHEAD = 20_000
"""Candidates a scan holds at once: a move is recognised within them, and most trees are smaller."""

Identity = tuple[int, int]

MAX_ROUNDS = 8
"""How far a partial look follows rows that depend on rows, before it looks at the whole root."""

COUNTED = (*TIERS, "new", "updated", "unchanged", "moved", "missing", "writing", "unreadable", "foreign")
STATE_COUNTS: dict[State, str] = {"writing": "writing", "unreadable": "unreadable", "truncated": "unreadable"}
"""The count of the report that a state adds to."""


@dataclass(slots=True)
class Tally:
    """The counts of a scan while it runs. ``counted`` are candidates that a part of it, which is followed by another,
    has dealt with."""

    counts: Counter[str]
    problems: list[Problem]
    counted: set[str] = field(default_factory=set)
    found: int = 0
    resolved: int = 0
    total: int | None = None


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
        self._chain = chain
        self._suffixes = suffixes
        self._config_names = config_names
        self._workers = workers
        self._full = full
        self._on_progress = on_progress
        self._on_change = on_change
        self._runs = runs
        self._questions = questions
        self._limits = limits
        self._clock = clock

    def scan(self, roots: Sequence[str]) -> ScanReport:
        """Brings the rows of ``roots`` (absolute paths of folders that can be listed) in line with the disk."""
        with self._running(roots, ask_anew=True) as (tally, readers, report):
            for root in roots:
                self._scan_root(root, tally, readers)
            self._ledger.optimize()
        return report()

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
        with self._running([path], ask_anew=ask_anew) as (tally, readers, report):
            part = self._ledger.open_part(path)
            root = Root(part.id, part.path, "")
            top = path, _identity(path)
            places = [Place(_below(part, folder), depth) for folder, depth in wanted if is_utf8(folder)]
            paths = [_below(part, each) for each in touched if is_utf8(each)]
            if not self._rescan_places(root, top, places, paths, tally, readers):
                self._scan_root(path, tally, readers)
        return report()

    def expiring(self, path: str) -> tuple[list[Place], str | None]:
        """Where the rows below a root are of which W&B has to be asked again: their run was still going, or it could
        not be asked. And when the next ones will be (ISO 8601, UTC), None for never."""
        if self._runs is None:
            return [], None
        rel_paths, moment = self._ledger.expiring(path)
        return [Place(folder, 0) for folder in dict.fromkeys(map(_folder_of, rel_paths))], moment

    def set_in_reach(self, path: str) -> None:
        """What lies below can be reached again."""
        self._ledger.set_in_reach(path)

    def set_out_of_reach(self, path: str) -> bool:
        """What can't be reached has stale rows and no missing ones, until it can be. False where no row can lie there:
        it is no root, and neither in one nor above one."""
        return self._ledger.set_out_of_reach(path)

    def _rescan_places(
        self,
        root: Root,
        top: tuple[str, Identity | None],
        wanted: list[Place],
        touched: list[str],
        tally: Tally,
        readers: Readers,
    ) -> bool:
        """False where only a scan of the whole root can tell."""
        done: list[Place] = []
        gone: list[str] = []
        for _ in range(MAX_ROUNDS):
            elsewhere = {_folder_of(path) for path in self._ledger.depending_on(root, touched, gone)}
            elsewhere |= self._mended_links(root)
            wanted += [Place(folder, 0) for folder in elsewhere if not any(covers(place, folder) for place in done)]
            if not wanted:
                return True
            places, walk, found, rows, foreign = self._look(root, wanted)
            if places.whole or any(covers(place, path) for path in walk.linked_folders for place in _whole(wanted)):
                return False
            done += wanted
            before = rows.copy()
            targets = self._ledger.link_targets(root, [*before])
            missing, forgotten, changed = self._bring_in_line(root, rows, foreign, walk, [found], tally, readers, top)
            every = [*places.walked, *places.gone]
            self._ledger.finish_part(
                root, every, missing=missing, gone=forgotten, unlisted=walk.unlisted, problems=walk.problems
            )
            seen = {candidate.rel_path for candidate in found}
            tally.counted |= seen
            lost = before.keys() - seen
            changed += lost
            wanted, gone = [], [place.folder for place in places.gone]
            touched = [*changed, *(targets[path] for path in changed if path in targets)]
        return False

    def _mended_links(self, root: Root) -> set[str]:
        """Folders (relative) with links that led nowhere at the last look, and lead somewhere now."""
        start = len(root.path.rstrip("/")) + 1
        nowhere = self._ledger.with_problem(root, LEADS_NOWHERE)
        return {_folder_of(path[start:]) for path in nowhere if os.path.exists(path)}  # noqa: PTH110 - never raises

    def _look(
        self, root: Root, wanted: list[Place]
    ) -> tuple[Places, Walk, list[Candidate], dict[str, Known], dict[str, int]]:
        """The candidates and the rows of some places, to which are added those that must be seen together with them:
        where the other names of a hard-linked file are, and all below a folder that is or was a checkpoint."""
        while True:
            places = Places(root.path, wanted)
            walk = Walk(root.path, places=places.walked, suffixes=self._suffixes, config_names=self._config_names)
            found = list(walk) if places.walked else []
            rows, foreign = self._ledger.rows_at(root, [*places.walked, *places.gone])
            seen = {candidate.rel_path for candidate in found}
            rows = {path: row for path, row in rows.items() if path in seen or walk.judges(path)}
            folders = {candidate.rel_path for candidate in found if candidate.parts}
            folders.update(path for path in rows if path in walk.listed)
            further = [Place("" if folder == "." else folder) for folder in folders]
            names = self._ledger.names_of(root, walk.linked_elsewhere)
            further += [Place(_folder_of(name), 0) for name in names]
            further = [place for place in further if not any(includes(each, place) for each in wanted)]
            if places.whole or not further:
                return places, walk, found, rows, foreign
            wanted += further

    @contextmanager
    def _running(
        self, roots: Sequence[str], *, ask_anew: bool
    ) -> Iterator[tuple[Tally, Readers, Callable[[], ScanReport]]]:
        started = time.perf_counter()
        tally = Tally(Counter(), [])

        def report() -> ScanReport:
            return ScanReport(
                roots=tuple(roots),
                total=sum(tally.counts[tier] for tier in TIERS),
                seconds=time.perf_counter() - started,
                problems=tuple(dict.fromkeys(tally.problems)),
                **{name: tally.counts[name] for name in COUNTED},
            )

        if self._runs is not None:
            self._runs.begin(ask_anew=ask_anew)
        reader = CandidateReader(
            self._chain, full=self._full, clock=self._clock, questions=self._questions, limits=self._limits
        )
        with _without_cycle_collection(), Readers(reader, self._workers) as readers:
            yield tally, readers, report

    def _scan_root(self, path: str, tally: Tally, readers: Readers) -> None:
        there = _identity(path)
        if there is None:
            raise RootError(f"{path}: no such folder")
        root, rows, foreign = self._ledger.open_root(path)
        walk = Walk(root.path, below=root.below, suffixes=self._suffixes, config_names=self._config_names)
        chunks = walk.chunks(LOOKAHEAD)
        missing, gone, _ = self._bring_in_line(root, rows, foreign, walk, chunks, tally, readers, (path, there))
        self._ledger.finish(root, missing=missing, gone=gone, unlisted=walk.unlisted, problems=walk.problems)

    def _bring_in_line(
        self,
        root: Root,
        rows: dict[str, Known],
        foreign: dict[str, int],
        walk: Walk,
        chunks: Iterable[Iterable[Candidate]],
        tally: Tally,
        readers: Readers,
        top: tuple[str, Identity | None],
    ) -> tuple[dict[int, int | None], list[str], list[str]]:
        """Writes what changed. ``top`` is the folder that was scanned, and what it was when that began.

        Returns the rows that are gone (id → fingerprint), the paths of foreign files that are gone, and the paths of
        those that had to be read.
        """
        moved: set[int] = set()
        read: list[str] = []
        for chunk in chunks:
            before = tally.found
            changed: list[Changed] = []
            read_ahead = readers.read_all(self._changed(chunk, rows, foreign, tally, changed))
            tally.total = tally.found if tally.found < before + LOOKAHEAD else None
            moves = self._ledger.follow_moves(root, [candidate for candidate, _, _ in changed])
            moved.update(moves.values())
            self._report(tally)
            for batch in Batches(self._runs).answered(changed, read_ahead):
                self._take(root, batch, moves, moved, tally)
                walk.problems.extend(_led_nowhere(batch))
                self._report(tally)
            read.extend(candidate.rel_path for candidate, _, _ in changed)
        if _identity(top[0]) != top[1]:
            raise RootError(f"{top[0]}: was unmounted, moved or deleted meanwhile; its rows are left as they are")
        unlisted = frozenset(walk.unlisted)
        gone = {rel_path: row for rel_path, row in rows.items() if _was_listed(rel_path, unlisted)}
        missing = [path for path, row in gone.items() if row.state != "missing" and row.id not in moved]
        tally.counts["missing"] += len(missing)
        tally.problems.extend(walk.problems)
        if self._on_change is not None:
            for rel_path in missing:
                self._on_change(Change("missing", f"{root.path.rstrip('/')}/{rel_path}"))
        forgotten = [rel_path for rel_path in foreign if _was_listed(rel_path, unlisted)]
        return {gone[path].id: gone[path].fingerprint for path in missing}, forgotten, read

    def _changed(
        self,
        chunk: Iterable[Candidate],
        rows: dict[str, Known],
        foreign: dict[str, int],
        tally: Tally,
        changed: list[Changed],
    ) -> Iterator[Candidate]:
        """Candidates to read, noted in ``changed``. Those seen are taken out of ``rows`` and ``foreign``."""
        counts = tally.counts
        for candidate in chunk:
            tally.found += 1
            known = rows.pop(candidate.rel_path, None)
            foreign_as = foreign.pop(candidate.rel_path, None)
            mark = fingerprint(candidate)
            if known is None:
                if foreign_as != mark or self._full:
                    changed.append(Changed(candidate, mark, None))
                    yield candidate
                    continue
                counts["foreign"] += candidate.rel_path not in tally.counted
            elif known.fingerprint != mark or known.recheck or known.state == "missing" or self._full:
                changed.append(Changed(candidate, mark, known))
                yield candidate
                continue
            elif candidate.rel_path not in tally.counted:
                counts["unchanged"] += 1
                counts[known.source] += 1
                counts["unreadable"] += known.state in ("unreadable", "truncated")
            tally.resolved += 1

    def _take(
        self,
        root: Root,
        batch: Batch,
        moves: dict[str, int],
        moved: set[int],
        tally: Tally,
    ) -> None:
        """Writes one batch in one transaction."""
        told, said = batch.answers or ((), ())
        answers = iter(told)
        tally.problems.extend(said)
        resolved: list[tuple[Resolution, int]] = []
        foreign: list[tuple[str, int, str | None]] = []
        vanished: dict[int, int | None] = {}
        seen: dict[str, int | None] = {}
        changes: list[Change] = []
        for reading, (candidate, mark, known) in zip(batch.readings, batch.changed, strict=True):
            answer = next(answers, None) if reading.question is not None else None
            if known is not None and known.id in moved:
                known = None
            row_id = moves.get(candidate.rel_path, known.id if known else None)
            if reading.header_state is None:
                if row_id is not None:
                    vanished[row_id] = known.fingerprint if known and known.id == row_id else None
                    changes.append(Change("missing", candidate.path))
                continue
            if reading.header_state == "foreign" and row_id is None and candidate.source("sidecar") is None:
                foreign.append((candidate.rel_path, mark, reading.reason))
                continue
            event: ChangeKind = "moved" if candidate.rel_path in moves else "new" if known is None else "updated"
            earlier = self._earlier(row_id, candidate)
            resolution = reading.resolve(earlier)
            if answer is not None:
                resolution = self._completed(resolution, answer, earlier)
            resolved.append((resolution, mark))
            if candidate.rel_path not in moves:
                seen[candidate.rel_path] = known.fingerprint if known else None
            changes.append(Change(event, resolution.candidate.path, resolution))
            if candidate.rel_path not in tally.counted:
                tally.counts.update((event, resolution.source, STATE_COUNTS.get(resolution.state, "ready")))
            tally.problems.extend(resolution.problems)
        again = {
            candidate.path: known.id
            for candidate, mark, known in batch.changed
            if known is not None and known.fingerprint == mark and known.id not in moved
        }
        before = self._contents(again)
        self._ledger.write(root, resolved, foreign, vanished, seen=seen)
        tally.counts["missing"] += len(vanished)
        tally.counts["foreign"] += sum(rel_path not in tally.counted for rel_path, _, _ in foreign)
        tally.resolved += len(batch.changed)
        if self._on_change is not None:
            after = self._contents(again)
            for change in changes:
                if change.path not in again or before.get(again[change.path]) != after.get(again[change.path]):
                    self._on_change(change)

    def _contents(self, again: Mapping[str, int]) -> dict[int, tuple[Any, ...]]:
        """Of rows that are looked at again although their files are as they were: they may be as they were, too."""
        return self._ledger.contents([*again.values()]) if self._on_change is not None else {}

    def _completed(self, known: Resolution, answer: RunAnswer, earlier: Callable[[Tier], Finding | None]) -> Resolution:
        """With what W&B says; where it could not be asked, with what it said before."""
        asks = self._runs is not None and self._runs.asks
        kept = earlier("wandb") if answer.finding is None and answer.failed else None
        return complete(
            known,
            answer.finding or kept,
            failed=answer.stale or (answer.failed and (asks or kept is not None)),
            again=asks and (answer.failed or answer.stale),
            again_at=answer.again_at,
        )

    def _earlier(self, row_id: int | None, candidate: Candidate) -> Callable[[Tier], Finding | None]:
        """What a tier said of the row before, as long as the file is unchanged."""

        def earlier(tier: Tier) -> Finding | None:
            return self._ledger.said_before(row_id, candidate.stamp, tier) if row_id is not None else None

        return earlier

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


def _identity(path: str) -> Identity | None:
    """What a folder is, however it's called: (device, inode); None where there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _below(root: Root, rel_path: str) -> str:
    """A path relative to the scanned part of a root, as one relative to the root."""
    return f"{root.below}/{rel_path}".strip("/") if root.below else rel_path


def _led_nowhere(batch: Batch) -> Iterator[Problem]:
    """Links whose target went after the walk had seen it: its return is theirs."""
    for (candidate, _, _), reading in zip(batch.changed, batch.readings, strict=True):
        if reading.header_state is None and candidate.link_target is not None and os.path.islink(candidate.path):  # noqa: PTH114 - never raises
            yield Problem(candidate.path, None, LEADS_NOWHERE)


def _folder_of(rel_path: str) -> str:
    return rel_path.rpartition("/")[0]


def _whole(places: Iterable[Place]) -> list[Place]:
    return [place for place in places if place.depth is None]


def _was_listed(rel_path: str, unlisted: Set[str]) -> bool:
    """Whether the walk saw the folder that the file would lie in, or that it is."""
    place = rel_path if unlisted else ""
    while place and place not in unlisted:
        place = _folder_of(place)
    return not unlisted or (not place and "" not in unlisted)


def _root_of(path: str, roots: Iterable[str]) -> str | None:
    return next((root for root in roots if f"{path}/".startswith(f"{root.rstrip('/')}/")), None)
