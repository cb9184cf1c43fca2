"""Which candidates are read together, and in which order.

What a run's checkpoints share lies in its metrics file, whose reading costs more than theirs: they go to one process,
which reads that file once for all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from catalogdb.records import Candidate

PIECE = 64
"""Checkpoints that are read together."""


class Piece(NamedTuple):
    """Candidates from ``start`` to ``end``. Those of one ``lane`` belong to one process; None is any."""

    start: int
    end: int
    lane: int | None = None

    @property
    def part(self) -> slice:
        return slice(self.start, self.end)


def in_pieces(candidates: Iterable[Candidate], lanes: int = 1) -> Iterator[Piece]:
    """Every candidate in one piece. A run of more than a piece has a lane of its own until it ends, and the lanes take
    turns; smaller runs share pieces, and aren't split."""
    units = _units(candidates)
    under_way = [deque[Piece]() for _ in range(lanes)]
    more = True
    while more:
        more = False
        for lane, pieces in enumerate(under_way):
            if not pieces:
                pieces.extend(next(units, ()))
            if pieces:
                more = True
                piece = pieces.popleft()
                yield piece if piece.lane is None else piece._replace(lane=lane)


def _units(candidates: Iterable[Candidate]) -> Iterator[list[Piece]]:
    """Pieces that stay in one lane, in the order of the candidates."""
    start = end = 0
    for run, size in _runs(candidates):
        if end > start and end - start + size > PIECE:
            yield from _loose(start, end)
            start = end
        end += size
        if run is not None and size > PIECE:
            yield [Piece(at, min(at + PIECE, end), 0) for at in range(start, end, PIECE)]
            start = end
    yield from _loose(start, end)


def _runs(candidates: Iterable[Candidate]) -> Iterator[tuple[str | None, int]]:
    """The metrics file and the number of checkpoints of each run; one without such a file is a run of its own."""
    for run, members in groupby(candidates, _metrics_of):
        if run is None:
            yield from ((None, 1) for _ in members)
        else:
            yield run, sum(1 for _ in members)


def _loose(start: int, end: int) -> Iterator[list[Piece]]:
    for at in range(start, end, PIECE):
        yield [Piece(at, min(at + PIECE, end))]


def _metrics_of(candidate: Candidate) -> str | None:
    return next((source.path for source in candidate.sources if source.role == "metrics"), None)
