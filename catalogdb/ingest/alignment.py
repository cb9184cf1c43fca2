"""Brings rows in line with candidates, of a whole root or a part: what changed is read, resolved and written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from catalogdb.discovery import LEADS_NOWHERE, Walk, fingerprint
from catalogdb.errors import RootError
from catalogdb.ingest.batches import Batch, Batches, Changed
from catalogdb.ingest.tally import Tally
from catalogdb.reading import Readers
from catalogdb.records import Candidate, Change, ChangeKind, Finding, Problem, Progress, Resolution, Tier
from catalogdb.resolve import complete
from catalogdb.store import Known, Ledger, Root

if TYPE_CHECKING:
    from catalogdb.resolve.wandb import RunAnswer, RunLookup

LOOKAHEAD = 20_000
"""Candidates that are held at once: a move is recognised within them, and most trees are smaller."""


class Top(NamedTuple):
    """The folder that is looked at, and what it was when the look began: (device, inode); None where there was none."""

    path: str
    identity: tuple[int, int] | None

    @classmethod
    def at(cls, path: str) -> Top:
        try:
            status = Path(path).stat()
        except OSError:
            return cls(path, None)
        return cls(path, (status.st_dev, status.st_ino))


class Outcome(NamedTuple):
    """``missing``: rows whose files are gone, as id → fingerprint. ``forgotten``: foreign files that are gone, and
    ``read``: files that had to be read, both as relative paths."""

    missing: dict[int, int | None]
    forgotten: list[str]
    read: list[str]


@dataclass(frozen=True, slots=True)
class _Transaction:
    """What one batch comes to, as ``Ledger.write`` takes it, and what is told of it."""

    resolved: list[tuple[Resolution, int]] = field(default_factory=list)
    foreign: list[tuple[str, int, str | None]] = field(default_factory=list)
    vanished: dict[int, int | None] = field(default_factory=dict)
    seen: dict[str, int | None] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)


class Alignment:
    """One scan, or one partial look. ``runs`` answers what is asked of W&B; ``on_change`` is told of rows that say
    something new."""

    def __init__(
        self,
        ledger: Ledger,
        readers: Readers,
        tally: Tally,
        *,
        full: bool,
        runs: RunLookup | None,
        on_progress: Callable[[Progress], None] | None,
        on_change: Callable[[Change], None] | None,
    ) -> None:
        self.ledger = ledger
        self.tally = tally
        self._readers = readers
        self._full = full
        self._runs = runs
        self._on_progress = on_progress
        self._on_change = on_change

    def bring_in_line(
        self,
        root: Root,
        rows: dict[str, Known],
        foreign: dict[str, int],
        walk: Walk,
        chunks: Iterable[Iterable[Candidate]],
        top: Top,
    ) -> Outcome:
        """Writes what changed among the candidates of ``walk``, which come in ``chunks``. Those that were seen are
        taken out of ``rows`` and ``foreign``.

        Raises RootError where ``top`` is no longer the folder that it was: what seems gone may be anywhere then.
        """
        moved: set[int] = set()
        read: list[str] = []
        for chunk in chunks:
            before = self.tally.found
            changed: list[Changed] = []
            read_ahead = self._readers.read_all(self._changed(chunk, rows, foreign, changed))
            self.tally.total = self.tally.found if self.tally.found < before + LOOKAHEAD else None
            moves = self.ledger.follow_moves(root, [candidate for candidate, _, _ in changed])
            moved.update(moves.values())
            self._report()
            for batch in Batches(self._runs).answered(changed, read_ahead):
                self._take(root, batch, moves, moved)
                walk.problems.extend(_led_nowhere(batch))
                self._report()
            read.extend(candidate.rel_path for candidate, _, _ in changed)
        if Top.at(top.path) != top:
            raise RootError(f"{top.path}: was unmounted, moved or deleted meanwhile; its rows are left as they are")
        unlisted = frozenset(walk.unlisted)
        gone = {rel_path: row for rel_path, row in rows.items() if _was_listed(rel_path, unlisted)}
        missing = [path for path, row in gone.items() if row.state != "missing" and row.id not in moved]
        self.tally.counts["missing"] += len(missing)
        self.tally.problems.extend(walk.problems)
        if self._on_change is not None:
            for rel_path in missing:
                self._on_change(Change("missing", f"{root.path.rstrip('/')}/{rel_path}"))
        forgotten = [rel_path for rel_path in foreign if _was_listed(rel_path, unlisted)]
        return Outcome({gone[path].id: gone[path].fingerprint for path in missing}, forgotten, read)

    def _changed(
        self,
        chunk: Iterable[Candidate],
        rows: dict[str, Known],
        foreign: dict[str, int],
        changed: list[Changed],
    ) -> Iterator[Candidate]:
        """Candidates to read, noted in ``changed``. Those seen are taken out of ``rows`` and ``foreign``."""
        tally, counts = self.tally, self.tally.counts
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
                counts["foreign"] += candidate.rel_path not in tally.done
            elif known.fingerprint != mark or known.recheck or known.state == "missing" or self._full:
                changed.append(Changed(candidate, mark, known))
                yield candidate
                continue
            elif candidate.rel_path not in tally.done:
                counts["unchanged"] += 1
                counts[known.source] += 1
                counts["unreadable"] += known.state in ("unreadable", "truncated")
            tally.resolved += 1

    def _take(self, root: Root, batch: Batch, moves: Mapping[str, int], moved: Set[int]) -> None:
        """Writes one batch in one transaction."""
        written = self._resolved(batch, moves, moved)
        again = {
            candidate.path: known.id
            for candidate, mark, known in batch.changed
            if known is not None and known.fingerprint == mark and known.id not in moved
        }
        before = self._contents(again)
        self.ledger.write(root, written.resolved, written.foreign, written.vanished, seen=written.seen)
        self.tally.counts["missing"] += len(written.vanished)
        self.tally.counts["foreign"] += sum(rel_path not in self.tally.done for rel_path, _, _ in written.foreign)
        self.tally.resolved += len(batch.changed)
        if self._on_change is not None:
            after = self._contents(again)
            for change in written.changes:
                if change.path not in again or before.get(again[change.path]) != after.get(again[change.path]):
                    self._on_change(change)

    def _resolved(self, batch: Batch, moves: Mapping[str, int], moved: Set[int]) -> _Transaction:
        """What a batch says. ``moves`` are the rows that were given a new path in this chunk, by that path; ``moved``
        are all such rows: what a candidate was known as may have gone elsewhere."""
        said = _Transaction()
        told, problems = batch.answers or ((), ())
        answers = iter(told)
        self.tally.problems.extend(problems)
        for reading, (candidate, mark, known) in zip(batch.readings, batch.changed, strict=True):
            answer = next(answers, None) if reading.question is not None else None
            if known is not None and known.id in moved:
                known = None
            row_id = moves.get(candidate.rel_path, known.id if known else None)
            if reading.header_state is None:
                if row_id is not None:
                    said.vanished[row_id] = known.fingerprint if known and known.id == row_id else None
                    said.changes.append(Change("missing", candidate.path))
                continue
            if reading.header_state == "foreign" and row_id is None and candidate.source("sidecar") is None:
                said.foreign.append((candidate.rel_path, mark, reading.reason))
                continue
            kind: ChangeKind = "moved" if candidate.rel_path in moves else "new" if known is None else "updated"
            earlier = self._earlier(row_id, candidate)
            resolution = reading.resolve(earlier)
            if answer is not None:
                resolution = self._completed(resolution, answer, earlier)
            said.resolved.append((resolution, mark))
            if candidate.rel_path not in moves:
                said.seen[candidate.rel_path] = known.fingerprint if known else None
            said.changes.append(Change(kind, resolution.candidate.path, resolution))
            if candidate.rel_path not in self.tally.done:
                self.tally.count(kind, resolution)
            self.tally.problems.extend(resolution.problems)
        return said

    def _contents(self, again: Mapping[str, int]) -> dict[int, tuple[Any, ...]]:
        """Of rows that are looked at again although their files are as they were: they may be as they were, too."""
        return self.ledger.contents([*again.values()]) if self._on_change is not None else {}

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
            return self.ledger.said_before(row_id, candidate.stamp, tier) if row_id is not None else None

        return earlier

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.tally.progress())


def folder_of(rel_path: str) -> str:
    return rel_path.rpartition("/")[0]


def _led_nowhere(batch: Batch) -> Iterator[Problem]:
    """Links whose target went after the walk had seen it: its return is theirs."""
    for (candidate, _, _), reading in zip(batch.changed, batch.readings, strict=True):
        if reading.header_state is None and candidate.link_target is not None and os.path.islink(candidate.path):  # noqa: PTH114 - never raises
            yield Problem(candidate.path, None, LEADS_NOWHERE)


def _was_listed(rel_path: str, unlisted: Set[str]) -> bool:
    """Whether the walk saw the folder that the file would lie in, or that it is."""
    place = rel_path if unlisted else ""
    while place and place not in unlisted:
        place = folder_of(place)
    return not unlisted or (not place and "" not in unlisted)
