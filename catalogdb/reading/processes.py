"""Reading in several processes: a scan is processor-bound Python, and one process uses one processor."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import struct
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from catalogdb.reading.candidate import CandidateReader, Reading
from catalogdb.reading.pieces import Piece, in_pieces
from catalogdb.reading.wire import ReadingDecoder, ReadingEncoder, decode_candidates, encode_candidates
from catalogdb.records import Candidate

AHEAD = 24
"""Messages that a process may have before it: it goes on reading while the scan writes a batch. Their answers, 34 kB
each, have room in a pipe."""

PIPE_BYTES = 1 << 20
_LENGTH = struct.Struct("<Q")


def can_fork() -> bool:
    """Whether this process may be split: on Linux, with no other thread that could hold a lock meanwhile."""
    if sys.platform != "linux":
        return False
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False


class _Process:
    """One reading process with its two pipes. It ends when its requests' pipe is closed.

    Raises OSError where the system has no room for another process.
    """

    def __init__(self, reader: CandidateReader, others: Sequence[_Process]) -> None:
        with contextlib.ExitStack() as opened:
            requests, self.requests = _pipe(opened)
            self.answers, answers = _pipe(opened)
            self.room = min(_widen(self.requests), _widen(answers)) // 2
            self.pid = os.fork()
            if self.pid == 0:
                foreign = [self.requests, self.answers, *chain(*map(_Process.ends, others))]
                _be_reader(reader, requests, answers, foreign)
            opened.pop_all()
        os.close(requests)
        os.close(answers)
        self.decoder = ReadingDecoder()
        self.waiting: deque[tuple[int, Sequence[Candidate]]] = deque()
        self.alive = True

    def ends(self) -> tuple[int, int]:
        return self.requests, self.answers

    @property
    def is_busy(self) -> bool:
        return len(self.waiting) >= AHEAD

    def accepts(self, size: int) -> bool:
        """Whether a request can be written without waiting for the other end, which may wait for us to read."""
        unread = sum(length for length, _ in self.waiting)
        return not self.waiting or unread + size <= self.room

    def ask(self, message: bytes, candidates: Sequence[Candidate]) -> None:
        self.waiting.append((len(message), candidates))
        try:
            _write(self.requests, message)
        except BrokenPipeError:
            self.alive = False

    def answer(self) -> list[Reading | None]:
        """The oldest request's answer; all None, to be read here, where the process has died."""
        _, candidates = self.waiting.popleft()
        message = _read(self.answers)
        if message is None:
            self.alive = False
            return [None] * len(candidates)
        return self.decoder.decode(message, candidates)

    def end(self) -> None:
        os.close(self.requests)
        os.close(self.answers)
        os.waitpid(self.pid, 0)


class ReadingProcesses:
    """Reads candidates in ``count`` processes, forked from this one, or as many as there is room for; its length is
    their number. Close it when done.

    What a process can't answer, and what was asked of one that died, is read here.
    """

    def __init__(self, reader: CandidateReader, count: int) -> None:
        self._reader = reader
        self._processes: list[_Process] = []
        with contextlib.suppress(OSError):
            for _ in range(count):
                self._processes.append(_Process(reader, self._processes))

    def __len__(self) -> int:
        return len(self._processes)

    def close(self) -> None:
        for process in self._processes:
            process.end()

    def read_all(self, candidates: Iterable[Candidate]) -> Iterator[tuple[slice, list[Reading]]]:
        """Asks ahead of what it yields. What shares a metrics file is read by one process."""
        known: list[Candidate] = []
        asked: deque[_Asked] = deque()
        upcoming: deque[Piece] = deque()
        for piece in in_pieces(_noted(candidates, known), len(self._processes)):
            upcoming.append(piece)
            self._ask(known, upcoming, asked)
        return self._answers(known, upcoming, asked)

    def _ask(self, known: Sequence[Candidate], upcoming: deque[Piece], asked: deque[_Asked]) -> None:
        """As far ahead as processes take it."""
        while upcoming:
            process = self._reader_of(upcoming[0])
            if process is None or process.is_busy:
                return
            some = known[upcoming[0].part]
            message = encode_candidates(some)
            if not process.accepts(len(message)):
                return
            process.ask(message, some)
            asked.append((process, upcoming.popleft()))

    def _answers(
        self, known: Sequence[Candidate], upcoming: deque[Piece], asked: deque[_Asked]
    ) -> Iterator[tuple[slice, list[Reading]]]:
        while asked or upcoming:
            self._ask(known, upcoming, asked)
            process, piece = asked.popleft() if asked else (None, upcoming.popleft())
            some = known[piece.part]
            answers = process.answer() if process is not None else [None] * len(some)
            yield (
                piece.part,
                [
                    reading if reading is not None else self._reader.read(candidate)
                    for candidate, reading in zip(some, answers, strict=True)
                ],
            )

    def _reader_of(self, piece: Piece) -> _Process | None:
        """The process of the piece's lane, else the idlest."""
        if piece.lane is not None and self._processes[piece.lane].alive:
            return self._processes[piece.lane]
        alive = [process for process in self._processes if process.alive]
        return min(alive, key=lambda process: len(process.waiting), default=None)


_Asked = tuple[_Process, Piece]


def _noted(candidates: Iterable[Candidate], known: list[Candidate]) -> Iterator[Candidate]:
    for candidate in candidates:
        known.append(candidate)
        yield candidate


def _be_reader(reader: CandidateReader, requests: int, answers: int, foreign: Iterable[int]) -> None:
    """What a forked process does, and all it does: no cleaning up of what it shares with its parent."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gc.freeze()
        for descriptor in foreign:
            os.close(descriptor)
        encoder = ReadingEncoder()
        while (message := _read(requests)) is not None:
            _write(answers, encoder.encode(reader.read_piece(decode_candidates(message))))
        code = 0
    except BrokenPipeError:
        code = 0
    finally:
        os._exit(code)


def _pipe(opened: contextlib.ExitStack) -> tuple[int, int]:
    """Its two ends, closed with ``opened``."""
    ends = os.pipe()
    for end in ends:
        opened.callback(os.close, end)
    return ends


def _widen(descriptor: int) -> int:
    """Makes room in a pipe, and returns how much there is."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)


def _write(descriptor: int, message: bytes) -> None:
    view = memoryview(_LENGTH.pack(len(message)) + message)
    while view:
        view = view[os.write(descriptor, view) :]


def _read(descriptor: int) -> bytes | None:
    """A message; None where the other end is closed, or was in the middle of one."""
    head = _read_exactly(descriptor, _LENGTH.size)
    return None if head is None else _read_exactly(descriptor, _LENGTH.unpack(head)[0])


def _read_exactly(descriptor: int, size: int) -> bytes | None:
    parts = []
    while size:
        part = os.read(descriptor, min(size, PIPE_BYTES))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
