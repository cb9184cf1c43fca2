"""Reads in one process or in several, whichever pays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain

from catalogdb.reading.candidate import CandidateReader, Reader, Reading
from catalogdb.reading.processes import ReadingProcesses, can_fork
from catalogdb.records import Candidate

WORTH_PROCESSES = 2_000
"""Checkpoints with sidecars to read from which on reading in several processes pays."""

WITHOUT_SIDECAR = 5
"""How many of these one without a sidecar counts for: its whole header is read, in ten times their time."""

MAX_PROCESSES = 8
"""Beyond, the one writer is the narrow place."""


class Readers:
    """Reads in this process, or what takes long in several, started when first needed. Close it when done.

    ``workers`` is their number; 1 is this process alone, None as many as there are processors, up to 8.
    """

    def __init__(self, reader: CandidateReader, workers: int | None) -> None:
        self._reader = reader
        self._workers = workers
        self._processes: ReadingProcesses | None = None

    def read_all(self, candidates: Iterable[Candidate]) -> Iterator[tuple[slice, list[Reading]]]:
        upcoming = iter(candidates)
        first: list[Candidate] = []
        work = 0
        for candidate in upcoming:
            first.append(candidate)
            work += WITHOUT_SIDECAR if candidate.source("sidecar") is None else 1
            if work >= WORTH_PROCESSES:
                return self._many().read_all(chain(first, upcoming))
        return self._reader.read_all(first)

    def _many(self) -> Reader:
        if self._processes is None:
            count = self._workers or min(len(os.sched_getaffinity(0)), MAX_PROCESSES) if can_fork() else 1
            if count < 2:
                return self._reader
            self._processes = ReadingProcesses(self._reader, count)
        return self._processes if len(self._processes) else self._reader

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._processes is not None:
            self._processes.close()
