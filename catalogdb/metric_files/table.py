"""What a metrics file gives, and an index of its lines that takes 24 bytes for each of them."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

Row = Mapping[str, float]
"""Metric name → value, as training logged it."""

UNKNOWN = -1
"""In the index: a line that states no step, or no epoch."""

CHUNK = 1 << 20
MAX_LINE = 1 << 20
"""A longer line is passed over."""

MAX_KEPT = 32 << 20
"""A file up to this size is kept as it was read; of a larger one, the lines that are asked for are read again."""


class Asked(NamedTuple):
    """Whose metrics are asked for. ``row`` and ``row_epoch`` are the step and the 0-based epoch under which training
    logs the metrics of this state; ``global_step`` and ``epoch`` are the checkpoint's own.

    ``whole``: it was written when its epoch had ended, so that rows which state no step are its as well. ``from_zero``:
    nothing but its own number says how it counts, so that they are only in a file that counts from 0.
    ``beyond_epochs``: its step is more than its training has epochs."""

    name: str
    row: int | None = None
    row_epoch: int | None = None
    global_step: int | None = None
    epoch: int | None = None
    whole: bool = True
    from_zero: bool = False
    beyond_epochs: bool = False


class MetricFile(Protocol):
    """A file with metrics. What is read of it is remembered; ``refresh`` reads what was added since."""

    def refresh(self) -> None:
        """Reads to the last whole line; a second time, only what came after it. Raises OSError."""

    def at(self, asked: Asked) -> Row:
        """The values on exactly its step, in rows that are not of another epoch, and of rows without a step on exactly
        its epoch. A name with two different values is left out. Raises OSError."""

    def counters(self, name: str) -> Mapping[str, int]:
        """``epoch`` and ``global_step`` of the checkpoint called ``name``, where the file is about it alone."""

    @property
    def names(self) -> Collection[str]:
        """The metrics that it has, as far as that is known without reading all of it."""


class LineIndex:
    """Where the lines of each step and each epoch begin. Lines may come in any order.

    Where the counter falls back to where it began, another training goes on in the file. It may have overwritten the
    checkpoints of the one before, or not yet.
    """

    def __init__(self) -> None:
        self.steps = array("q")
        self.epochs = array("q")
        self.offsets = array("q")
        self._sorted: dict[str, tuple[array[int], array[int]]] = {}
        self._starts: tuple[int, list[int]] = 0, []

    def add(self, step: int, epoch: int, offset: int) -> None:
        self.steps.append(step)
        self.epochs.append(epoch)
        self.offsets.append(offset)

    def add_all(self, steps: Iterable[int], epochs: Iterable[int], offsets: Iterable[int]) -> None:
        """Of as many lines as there are steps."""
        self.steps.extend(steps)
        self.epochs.extend(epochs)
        self.offsets.extend(offsets)

    def lines_of(self, step: int | None, epoch: int | None, *, whole: bool = True) -> list[list[int]]:
        """Offsets of the lines of a step that aren't of another epoch, and, of a ``whole`` epoch, of its lines without
        a step; those of each training apart. None at all where the last training has none there."""
        found = []
        if step is not None:
            for place in self._places("steps", step):
                if epoch is None or self.epochs[place] in (UNKNOWN, epoch):
                    found.append(place)
        if epoch is not None and whole:
            for place in self._places("epochs", epoch):
                if step is None or self.steps[place] == UNKNOWN:
                    found.append(place)
        if not found:
            return []
        starts = self._starts_anew()
        by_training: dict[int, list[int]] = {}
        for place in sorted(found):
            by_training.setdefault(bisect_right(starts, place), []).append(self.offsets[place])
        return [*by_training.values()] if len(starts) in by_training else []

    def has_epoch(self, epoch: int) -> bool:
        return bool(self._places("epochs", epoch))

    def _starts_anew(self) -> list[int]:
        """The places where the epoch, or in a file without epochs the step, falls back to the first one's, or below."""
        length, starts = self._starts
        if length != len(self.offsets):
            column = self.epochs if max(self.epochs) > UNKNOWN else self.steps
            starts = _falls(column) if _in_order(column)[1] else []
            self._starts = len(self.offsets), starts
        return starts

    def _places(self, name: str, wanted: int) -> list[int]:
        column: array[int] = getattr(self, name)
        known = self._sorted.get(name)
        if known is None or len(known[0]) != len(column):
            known = self._sorted[name] = _in_order(column)
        values, places = known
        first, behind = bisect_left(values, wanted), bisect_right(values, wanted)
        return [places[at] if places else at for at in range(first, behind)]


def _in_order(column: array[int]) -> tuple[array[int], array[int]]:
    """The column's values in order, and the place of each; no places where it is in order as it stands."""
    previous = UNKNOWN
    for value in column:
        if value < previous:
            break
        previous = value
    else:
        return column, array("q")
    places = array("q", sorted(range(len(column)), key=column.__getitem__))
    return array("q", (column[place] for place in places)), places


def _falls(column: array[int]) -> list[int]:
    first = previous = UNKNOWN
    found = []
    for place, value in enumerate(column):
        if value == UNKNOWN:
            continue
        if value < previous and value <= first:
            found.append(place)
        first = value if first == UNKNOWN else first
        previous = value
    return found


class LineFile:
    """A text file of one row to a line. A subclass says what a line's step and epoch are, and what its values."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.index = LineIndex()
        self._content: bytearray | None = bytearray()
        self._end = 0
        self._inode = 0
        self._last = b""

    @property
    def kept(self) -> int:
        """Bytes of it that are kept."""
        return len(self._content or b"")

    def let_go(self) -> None:
        """Keeps no more of it than the index: its lines are read where they are asked for."""
        self._content = None

    def refresh(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not self._goes_on(descriptor, status):
                self._begin_anew()
                self._inode = status.st_ino
            if status.st_size > MAX_KEPT:
                self.let_go()
            for offset, lines in _whole_lines(descriptor, self._end):
                self.take(offset, lines)
                self._keep(offset, b"".join(lines))
                self._end = offset + sum(map(len, lines))
                self._last = lines[-1][-64:]
        finally:
            os.close(descriptor)

    def _goes_on(self, descriptor: int, status: os.stat_result) -> bool:
        """Whether it is the file that was read before, with more at its end."""
        if status.st_ino != self._inode or status.st_size < self._end:
            return False
        before = self._end - len(self._last)
        return os.pread(descriptor, len(self._last), before) == self._last

    def _keep(self, offset: int, added: bytes) -> None:
        content = self._content
        if content is not None and offset == len(content) and offset + len(added) <= MAX_KEPT:
            content += added
        else:
            self._content = None

    def _begin_anew(self) -> None:
        self.index = LineIndex()
        self._content = bytearray()
        self._end = 0
        self._last = b""

    def take(self, offset: int, lines: Sequence[bytes]) -> None:
        """Puts lines, with their ends, into the index. The first begins at ``offset``."""
        for line in lines:
            self.take_line(offset, line)
            offset += len(line)

    def take_line(self, offset: int, line: bytes) -> None:
        """Puts one of them into the index."""
        raise NotImplementedError

    def values(self, line: bytes) -> Iterable[tuple[str, float]]:
        raise NotImplementedError

    @property
    def names(self) -> Collection[str]:
        return ()

    def counters(self, name: str) -> Mapping[str, int]:
        return {}

    @property
    def counts_from_zero(self) -> bool:
        """Whether it has a row of an epoch 0."""
        return self.index.has_epoch(0)

    def at(self, asked: Asked) -> Row:
        whole = asked.whole and (not asked.from_zero or self.counts_from_zero)
        trainings = self.index.lines_of(asked.row, asked.row_epoch, whole=whole)
        if not trainings:
            return {}
        if self._content is not None:
            content = self._content
            return self._common(trainings, lambda at: bytes(content[at : content.find(b"\n", at)]))
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return self._common(trainings, lambda at: _line_at(descriptor, at))
        finally:
            os.close(descriptor)

    def _common(self, trainings: list[list[int]], read: Callable[[int], bytes]) -> Row:
        """What all trainings that logged into the file have in common: of those that differ, none can be told to be
        the checkpoint's."""
        first, *others = (unambiguous(self.values(read(at)) for at in offsets) for offsets in trainings)
        if not others:
            return first
        named = [name for name in first if all(name in row for row in others)]
        found = unambiguous([(name, row[name]) for name in named] for row in (first, *others))
        return found if len(found) == len(named) else {}


def unambiguous(rows: Iterable[Iterable[tuple[str, float]]]) -> Row:
    """All values of the rows; a name with two different ones is left out. NaN equals NaN."""
    found: dict[str, float] = {}
    twofold: set[str] = set()
    for row in rows:
        for name, value in row:
            before = found.setdefault(name, value)
            if before != value and not (before != before and value != value):
                twofold.add(name)
    for name in twofold:
        del found[name]
    return found


def _whole_lines(descriptor: int, start: int) -> Iterator[tuple[int, list[bytes]]]:
    """Lines with their ends, some at a time, and where the first of them begins; the last one only if it has ended."""
    offset = start
    rest = b""
    while chunk := os.pread(descriptor, CHUNK, offset + len(rest)):
        data = rest + chunk
        lines = data.splitlines(keepends=True) if b"\r" not in data else _split(data)
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        if lines:
            yield offset, lines
            offset += len(data) - len(rest)
        if len(rest) > MAX_LINE:
            skipped = _end_of_line(descriptor, offset + len(rest))
            if skipped is None:
                return
            offset, rest = skipped, b""


def _split(data: bytes) -> list[bytes]:
    """Lines that end with a line feed: a carriage return before it stays with its line."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _end_of_line(descriptor: int, offset: int) -> int | None:
    while chunk := os.pread(descriptor, CHUNK, offset):
        at = chunk.find(b"\n")
        if at >= 0:
            return offset + at + 1
        offset += len(chunk)
    return None


def _line_at(descriptor: int, offset: int, size: int = 4096) -> bytes:
    data = os.pread(descriptor, size, offset)
    end = data.find(b"\n")
    while end < 0 and len(data) == size and size < MAX_LINE:
        size *= 4
        data = os.pread(descriptor, size, offset)
        end = data.find(b"\n")
    return data[:end] if end >= 0 else b""
