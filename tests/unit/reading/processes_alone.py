"""Reading in several processes gives what reading in one gives, whatever becomes of them.

Run by ``test_processes.py`` in a process of its own: a process is only forked where no other thread runs, and torch,
which other tests import, starts some.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from catalogdb.catalog import Catalog
from catalogdb.demo import lay_out
from catalogdb.discovery import Walk
from catalogdb.reading import CandidateReader, Readers, Reading
from catalogdb.reading.pieces import PIECE
from catalogdb.reading.processes import ReadingProcesses, can_fork
from catalogdb.reading.wire import ReadingDecoder, ReadingEncoder, decode_candidates, encode_candidates
from catalogdb.records import Candidate, Origin, ParamGroup, Value
from catalogdb.resolve import InferenceResolver, ResolverChain, SidecarResolver


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real checkpoints, with a broken sidecar, a vanished file, and files that are no checkpoints."""
    root = lay_out(tmp_path_factory.mktemp("tree"))
    folder = next(root.glob("*resnet18/checkpoints"))
    (folder / "notes.pt").write_text("not a checkpoint")
    (folder / "empty.ckpt").touch()
    (folder / "last.metadata.yaml").write_text("training: [1, 2")
    return root


@pytest.fixture
def reader() -> CandidateReader:
    resolvers = ResolverChain([SidecarResolver(), InferenceResolver()])
    return CandidateReader(resolvers, full=False, clock=lambda: 2e9)


@pytest.fixture
def candidates(tree: Path) -> list[Candidate]:
    found = list(Walk(str(tree)))
    gone = Candidate(str(tree), "gone.ckpt", found[0].stamp)
    return [*found, gone] * 12


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def essence(reading: Reading) -> tuple[object, ...]:
    """Parameter groups by their digest; without the errors of tiers that failed: both are equal to themselves alone."""
    resolution = reading.resolution
    params = resolution and [group.digest for group in resolution.params]
    rest = resolution and replace(resolution, params=())
    return reading.candidate, reading.header_state, reading.reason, rest, params, len(reading.answers)


def in_order(read: Iterator[tuple[slice, list[Reading]]]) -> list[tuple[object, ...]]:
    """What was read of each candidate, in the order of these, whatever the order of reading was."""
    parts = sorted(((part.start, part.stop, readings) for part, readings in read), key=lambda part: part[:2])
    assert all(end - start == len(readings) for start, end, readings in parts)
    assert [start for start, _, _ in parts] == [0, *(end for _, end, _ in parts[:-1])], "each of them once"
    return [essence(reading) for _, _, readings in parts for reading in readings]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_same_as_in_one_process(reader: CandidateReader, candidates: list[Candidate], count: int) -> None:
    before = open_descriptors()
    processes = ReadingProcesses(reader, count)
    try:
        assert in_order(processes.read_all(candidates)) == in_order(reader.read_all(candidates))
        assert in_order(processes.read_all(candidates[:5])) == in_order(reader.read_all(candidates[:5]))
    finally:
        processes.close()
    assert open_descriptors() == before


def test_reading_begins_while_candidates_are_being_found(reader: CandidateReader, candidates: list[Candidate]) -> None:
    processes = ReadingProcesses(reader, 2)
    begun: list[int] = []

    def found() -> Iterator[Candidate]:
        for candidate in [*candidates, *candidates]:
            begun.append(sum(len(process.waiting) for process in processes._processes))
            yield candidate

    try:
        read = processes.read_all(found())
        assert (begun[0], begun[-1]) == (0, len(begun) // PIECE)
        assert sum(len(readings) for _, readings in read) == len(begun)
    finally:
        processes.close()


def test_processes_that_die_lose_nothing(reader: CandidateReader, candidates: list[Candidate]) -> None:
    processes = ReadingProcesses(reader, 2)
    try:
        read = processes.read_all(candidates)
        first = next(read)
        for process in processes._processes:
            os.kill(process.pid, signal.SIGKILL)
        assert in_order(chain([first], read)) == in_order(reader.read_all(candidates))
    finally:
        processes.close()


@pytest.mark.parametrize("room", [0, 1])
def test_no_room_for_another_process(
    reader: CandidateReader, candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    left = [None] * room
    fork = os.fork

    def forking() -> int:
        if not left:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        left.pop()
        return fork()

    monkeypatch.setattr(os, "fork", forking)
    monkeypatch.setattr("catalogdb.reading.readers.WORTH_PROCESSES", 1)
    before = open_descriptors()
    with Readers(reader, 3) as readers:
        assert in_order(readers.read_all(candidates)) == in_order(reader.read_all(candidates))
        assert readers._processes is not None
        assert len(readers._processes) == room
    assert open_descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_an_interrupt_of_the_terminal_is_the_parents_to_handle(reader: CandidateReader) -> None:
    processes = ReadingProcesses(reader, 1)
    pid = processes._processes[0].pid
    time.sleep(0.2)
    os.kill(pid, signal.SIGINT)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    processes.close()


def test_no_fork_beside_a_thread() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert not can_fork()
    finally:
        stop.set()
        thread.join()


def test_few_candidates_need_no_processes(reader: CandidateReader, candidates: list[Candidate]) -> None:
    with Readers(reader, 4) as readers:
        assert in_order(readers.read_all(candidates[:10])) == in_order(reader.read_all(candidates[:10]))
        assert readers._processes is None


def test_checkpoints_without_sidecars_are_sooner_worth_processes(
    reader: CandidateReader, candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalogdb.reading.readers.WORTH_PROCESSES", 10)
    bare = [candidate for candidate in candidates if candidate.source("sidecar") is None][:2]
    described = [candidate for candidate in candidates if candidate.source("sidecar") is not None][:9]
    assert (len(bare), len(described)) == (2, 9)
    for some, split in ((bare, True), (described, False)):
        with Readers(reader, 2) as readers:
            assert in_order(readers.read_all(some)) == in_order(reader.read_all(some))
            assert (readers._processes is not None) is split


def test_a_scan_with_processes_makes_the_same_rows(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(workers: int) -> list[dict[str, object]]:
        with Catalog.open("sqlite://") as catalog:
            catalog.scan(tree, workers=workers)
            return [{**row.to_dict(), "id": None} for row in catalog.iter_search()]

    alone = rows(1)
    monkeypatch.setattr("catalogdb.reading.readers.WORTH_PROCESSES", 1)
    assert rows(2) == alone


def test_candidates_pass_unchanged(candidates: list[Candidate]) -> None:
    assert decode_candidates(encode_candidates(candidates)) == candidates


def test_shared_groups_pass_once(reader: CandidateReader, candidates: list[Candidate]) -> None:
    some = [candidate for candidate in candidates[:15] if not reader.read(candidate).answers]
    readings = [reader.read(candidate) for candidate in some]
    encoder, decoder = ReadingEncoder(), ReadingDecoder()
    first, again = encoder.encode(readings), encoder.encode(readings)
    assert len(again) < len(first)
    expected = [essence(reading) for reading in readings]
    for message in (first, again):
        assert [essence(reading) for reading in decoder.decode(message, some) if reading] == expected


def test_a_reading_whose_tier_failed_is_not_sent(reader: CandidateReader, candidates: list[Candidate]) -> None:
    failed = [candidate for candidate in candidates[:30] if reader.read(candidate).answers]
    assert failed
    message = ReadingEncoder().encode([reader.read(candidate) for candidate in failed])
    assert ReadingDecoder().decode(message, failed) == [None] * len(failed)


def test_both_ends_forget_together(
    reader: CandidateReader, candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalogdb.reading.wire.MAX_SHARED", 1)
    some = [candidate for candidate in candidates[:15] if not reader.read(candidate).answers]
    readings = [reader.read(candidate) for candidate in some]
    encoder, decoder = ReadingEncoder(), ReadingDecoder()
    for _ in range(3):
        decoded = decoder.decode(encoder.encode(readings), some)
        assert [essence(reading) for reading in decoded if reading] == [essence(reading) for reading in readings]


def test_types_of_params_tell_groups_apart() -> None:
    origin = Origin("legacy", "config", "config.yaml", "a", "run")
    digests = {ParamGroup({"a": Value(value, origin)}).digest for value in (True, 1, 1.0, "1", None)}
    assert len(digests) == 5
    assert ParamGroup({"a": Value(1, origin)}).digest in digests
