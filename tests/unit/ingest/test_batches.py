"""What is written together, and when: batches of readings, some of them with questions that are answered later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import pytest

from catalogdb.ingest.batches import BATCH, ENOUGH_RUNS, FIRST_RUNS, MOST_ASKED, Batch, Batches, Changed
from catalogdb.reading import Reading
from catalogdb.records import Candidate, RunQuestion, RunRef, Stamp
from catalogdb.resolve.wandb import RunAnswer, RunAnswers

PIECE = 60


class Server:
    """Answers each question with its run's id, once ``patience`` more have been asked, or somebody waits."""

    asks = True

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._open: list[tuple[list[str], Awaited]] = []

    def answer_beside(self, questions: Sequence[tuple[str, RunQuestion]]) -> Future[RunAnswers]:
        answers = Awaited(self.answer)
        self._open.append(([question.refs[0].run_id for _, question in questions], answers))
        self.answer(self._patience)
        return answers

    def answer(self, left: int = 0) -> None:
        while len(self._open) > left:
            runs, answers = self._open.pop(0)
            answers.set_result(RunAnswers([RunAnswer(again_at=run_id) for run_id in runs], ()))


class Awaited(Future[RunAnswers]):
    """Has ``answer`` called by who waits for it."""

    def __init__(self, answer: Callable[[], None]) -> None:
        super().__init__()
        self._answer = answer

    def result(self, timeout: float | None = None) -> RunAnswers:
        self._answer()
        return super().result(timeout)


def read(runs: int, each: int) -> list[Reading]:
    """``each`` checkpoints of so many runs."""
    return [
        Reading(
            Candidate("/root", f"{number}.ckpt", Stamp(1, 1, number, 1)),
            question=RunQuestion((RunRef(f"run{number // each:04}", "", "", "config"),), "/root"),
        )
        for number in range(runs * each)
    ]


def batches(server: Server | None, readings: Sequence[Reading], given: list[int]) -> Iterator[Batch]:
    """``given`` gets what was read so far."""

    def pieces() -> Iterator[tuple[slice, list[Reading]]]:
        for start in range(0, len(readings), PIECE):
            given.append(start)
            yield slice(start, start + PIECE), list(readings[start : start + PIECE])

    return Batches(server).answered([Changed(reading.candidate, 0, None) for reading in readings], pieces())


def runs_of(batch: Batch) -> list[str]:
    return [question.refs[0].run_id for _, question in batch.questions()]


@pytest.mark.parametrize("patience", [0, 1, 1000])
def test_all_comes_once_in_order_with_its_answers(patience: int) -> None:
    readings = read(700, each=7)
    found = list(batches(Server(patience), readings, []))
    assert [reading for batch in found for reading in batch.readings] == readings
    for batch in found:
        assert [changed.candidate for changed in batch.changed] == [reading.candidate for reading in batch.readings]
        assert batch.answers is not None
        assert [answer.again_at for answer in batch.answers.answers] == runs_of(batch)


def test_a_run_is_asked_for_with_one_batch() -> None:
    found = list(batches(Server(0), read(700, each=7), []))
    first, *others, last = [set(runs_of(batch)) for batch in found]
    assert FIRST_RUNS <= len(first) < FIRST_RUNS + PIECE
    assert all(ENOUGH_RUNS <= len(runs) + 1 < ENOUGH_RUNS + PIECE for runs in others)
    assert sum(map(len, (first, *others, last))) == len({*first, *last}.union(*others)) == 700


def test_a_run_that_fills_a_batch_alone_is_split() -> None:
    found = list(batches(Server(0), read(1, each=BATCH + 5 * PIECE), []))
    assert [len(batch.readings) for batch in found] == [-(-BATCH // PIECE) * PIECE, (BATCH + 5 * PIECE) % 2100]


def test_more_is_read_while_answers_are_waited_for() -> None:
    given: list[int] = []
    first = next(batches(Server(2), read(4 * ENOUGH_RUNS, each=2), given))
    assert runs_of(first)[0] == "run0000"
    assert len(first.readings) + 2 * 2 * ENOUGH_RUNS <= given[-1] + PIECE < 2 * 4 * ENOUGH_RUNS


def test_not_too_much_is_read_ahead_of_answers() -> None:
    given: list[int] = []
    next(batches(Server(1000), read(20 * ENOUGH_RUNS, each=1), given))
    assert given[-1] < FIRST_RUNS + MOST_ASKED * ENOUGH_RUNS + (MOST_ASKED + 2) * PIECE


def test_without_questions_the_last_batch_is_small() -> None:
    readings = [Reading(reading.candidate) for reading in read(PIECE * 20, each=1)]
    sizes = [len(batch.readings) for batch in batches(None, readings, [])]
    assert sizes == [10 * PIECE, 5 * PIECE, 3 * PIECE, PIECE, PIECE]
