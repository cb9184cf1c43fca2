"""Every candidate in one piece, and those that share a metrics file in one lane."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogdb.reading.pieces import PIECE, in_pieces
from catalogdb.records import Candidate, Source, Stamp

STAMP = Stamp(1, 1, 1, 1)


def run(name: str, size: int) -> list[Candidate]:
    sources = (Source("metrics", f"/data/{name}/metrics.csv", STAMP),) if name else ()
    return [Candidate("/data", f"{name}/{number}.ckpt", STAMP, sources) for number in range(size)]


RUNS = st.lists(st.tuples(st.booleans(), st.integers(1, 300)), max_size=12)


@given(runs=RUNS, lanes=st.integers(1, 4))
def test_each_once_and_no_run_in_two_lanes(runs: list[tuple[bool, int]], lanes: int) -> None:
    candidates = [
        each for number, (told, size) in enumerate(runs) for each in run(f"run{number}" if told else "", size)
    ]
    pieces = list(in_pieces(candidates, lanes))
    seen = Counter(place for piece in pieces for place in range(*piece.part.indices(len(candidates))))
    assert seen == Counter(range(len(candidates)))
    places: dict[str, set[object]] = {}
    for number, piece in enumerate(pieces):
        assert 0 < piece.end - piece.start <= PIECE
        for candidate in candidates[piece.part]:
            for source in candidate.sources:
                places.setdefault(source.path, set()).add(number if piece.lane is None else f"lane {piece.lane}")
    assert all(len(each) == 1 for each in places.values()), "a run is in one piece, or in one lane"


def test_long_runs_are_read_side_by_side() -> None:
    candidates = [*run("a", 200), *run("b", 200), *run("c", 70)]
    pieces = list(in_pieces(candidates, 2))
    assert [piece.lane for piece in pieces] == [0, 1, 0, 1, 0, 1, 0, 1, 0, 0]
    assert [piece.start for piece in pieces] == [0, 200, 64, 264, 128, 328, 192, 392, 400, 464]


def test_one_process_reads_in_order() -> None:
    candidates = [*run("a", 200), *run("", 100), *run("c", 3), *run("d", 70)]
    starts = [piece.start for piece in in_pieces(candidates)]
    assert starts == sorted(starts)


@pytest.mark.parametrize("name", ["", "run"])
def test_a_piece_comes_as_soon_as_it_is_found(name: str) -> None:
    candidates = chain.from_iterable(run(name and f"{name}{number}", 4) for number in range(10_000))
    piece = next(in_pieces(candidates, 1))
    assert (piece.start, piece.end) == (0, PIECE)
    assert next(candidates).path == ("/data//1.ckpt" if not name else "/data/run17/1.ckpt")


def test_small_runs_share_a_piece() -> None:
    candidates = [each for number in range(100) for each in run(f"run{number}", 4)]
    assert [(piece.start, piece.end, piece.lane) for piece in in_pieces(candidates, 2)] == [
        (start, min(start + 64, 400), None) for start in range(0, 400, 64)
    ]
