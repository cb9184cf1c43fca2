"""What is read, in batches that are written in one transaction each; W&B is asked about some while others are read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from catalogdb.reading import Reading
from catalogdb.records import Candidate, RunQuestion
from catalogdb.store import Known

if TYPE_CHECKING:
    from concurrent.futures import Future

    from catalogdb.resolve.wandb import RunAnswers

BATCH = 2048
"""Checkpoints per transaction, where they are read as quickly as that."""

BATCH_SECONDS = 1.0
"""How long what was read may wait to be written."""

ENOUGH_RUNS = 200
"""Runs that W&B is asked for together: a question takes as long for many."""

FIRST_RUNS = 50
"""The same for the first question: until it's answered there is nothing to write."""

ASKING_SECONDS = 10.0
"""How long what was read may wait until there are as many."""

MOST_ASKED = 3
"""Batches that may wait for answers at once, each with all that was read of it."""


class Runs(Protocol):
    """Who answers questions about W&B's runs. ``resolve.wandb`` satisfies it."""

    @property
    def asks(self) -> bool:
        """Whether a server may be asked."""

    def answer_beside(self, questions: Sequence[tuple[str, RunQuestion]]) -> Future[RunAnswers]:
        """Begins to answer (checkpoint's path, question) each."""


class Changed(NamedTuple):
    """A candidate that has to be read, its fingerprint, and its row as it is."""

    candidate: Candidate
    mark: int
    known: Known | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Checkpoints of one transaction. ``answers`` are W&B's to their questions, in order; None where there are none."""

    changed: list[Changed]
    readings: list[Reading]
    answers: RunAnswers | None = None

    def questions(self) -> list[tuple[str, RunQuestion]]:
        """Each with its checkpoint's path."""
        return [
            (changed.candidate.path, reading.question)
            for changed, reading in zip(self.changed, self.readings, strict=True)
            if reading.question is not None
        ]

    def runs(self) -> int:
        """How many runs W&B is asked about."""
        return len(set(map(_run_of, self.readings)) - {None})

    def without_last_run(self) -> tuple[Batch, Batch]:
        """The checkpoints before those of the run that the last one is of, and these: there may be more of them."""
        last = _run_of(self.readings[-1])
        end = len(self.readings)
        while last is not None and end > 0 and _run_of(self.readings[end - 1]) == last:
            end -= 1
        if end in (0, len(self.readings)):
            return self, Batch([], [])
        return Batch(self.changed[:end], self.readings[:end]), Batch(self.changed[end:], self.readings[end:])


def _run_of(reading: Reading) -> str | None:
    """The id of the run that W&B is asked about."""
    return None if reading.question is None else reading.question.refs[0].run_id


class _Asked(NamedTuple):
    """A batch, and what W&B will say of it; None where nothing is asked."""

    batch: Batch
    answers: Future[RunAnswers] | None

    @property
    def is_answered(self) -> bool:
        return self.answers is None or self.answers.done()

    def answered(self) -> Batch:
        return self.batch if self.answers is None else replace(self.batch, answers=self.answers.result())


class Batches:
    """Makes batches. ``runs`` answers their questions; None where W&B is left out."""

    def __init__(self, runs: Runs | None) -> None:
        self._runs = runs

    def answered(
        self, changed: Sequence[Changed], read_ahead: Iterable[tuple[slice, list[Reading]]]
    ) -> Iterator[Batch]:
        """All that is read, in order. A batch is given as soon as its answers are there, while W&B is asked about the
        next ones and more is read; nothing is read on where too many wait."""
        waiting: deque[_Asked] = deque()
        batch = Batch([], [])
        left = len(changed)
        since = time.monotonic()
        enough = FIRST_RUNS
        for part, readings in read_ahead:
            batch.changed.extend(changed[part])
            batch.readings.extend(readings)
            left -= len(readings)
            if self._is_due(batch, left, enough, time.monotonic() - since):
                due, batch = batch.without_last_run() if left else (batch, Batch([], []))
                waiting.append(self._ask(due))
                since, enough = time.monotonic(), ENOUGH_RUNS
            while waiting and (waiting[0].is_answered or len(waiting) > MOST_ASKED):
                yield waiting.popleft().answered()
        if batch.changed:
            waiting.append(self._ask(batch))
        while waiting:
            yield waiting.popleft().answered()

    def _is_due(self, batch: Batch, left: int, enough: int, seconds: float) -> bool:
        """Whether a batch is to be written. Where W&B has to be asked, once there are ``enough`` runs; else towards the
        end with fewer checkpoints: nothing is read any more beside the writing of the last one."""
        runs = batch.runs() if self._runs is not None and self._runs.asks else 0
        if runs:
            return runs >= enough or len(batch.changed) >= BATCH or seconds > ASKING_SECONDS
        return len(batch.changed) >= min(BATCH, left) or seconds > BATCH_SECONDS

    def _ask(self, batch: Batch) -> _Asked:
        questions = batch.questions() if self._runs is not None else []
        if self._runs is None or not questions:
            return _Asked(batch, None)
        return _Asked(batch, self._runs.answer_beside(questions))
