"""CSV with a row for each logging: Lightning's ``metrics.csv``, timm's ``summary.csv``, Ultralytics' ``results.csv``.

Rows are sparse: the values of one step stand in several (``lightning/fabric/loggers/csv_logs.py``;
``timm/utils/summary.py``, ``update_summary``; ``ultralytics/engine/trainer.py``, ``save_metrics``).
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate

from catalogdb.metric_files.table import UNKNOWN, LineFile, LineIndex

COUNTERS = frozenset({"step", "global_step", "epoch", "time", "created_at"})
"""Columns that are no metrics."""

MAX_COLUMNS = 4096
MAX_COUNT = 2**53


class CsvFile(LineFile):
    """``base`` is the number of the first epoch. A file whose first row is of epoch 0 counts from 0 in any case:
    older releases did."""

    def __init__(self, path: str, *, base: int = 0) -> None:
        super().__init__(path)
        self._given_base = self._base = base
        self._columns: list[str] = []
        self._step = self._epoch = UNKNOWN
        self._parts = 0

    @classmethod
    def one_based(cls, path: str) -> CsvFile:
        return cls(path, base=1)

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._columns = []
        self._base = self._given_base

    def take(self, offset: int, lines: Sequence[bytes]) -> None:
        """After the first row, many at once, where all are of the plain form: twice as fast as one by one."""
        start = 0
        while start < len(lines) and not self.index.offsets:
            self.take_line(offset, lines[start])
            offset += len(lines[start])
            start += 1
        rest = lines[start:]
        if rest and not self._take_plain(offset, rest):
            super().take(offset, rest)

    def _take_plain(self, offset: int, lines: Sequence[bytes]) -> bool:
        """Whether they were taken: none has quotes, lacks a column, or states anything but whole numbers or nothing."""
        at_step, at_epoch, base = self._step, self._epoch, self._base
        if b'"' in b"".join(lines):
            return False
        parts = [line.split(b",", self._parts) for line in lines]
        try:
            steps = [int(each[at_step] or UNKNOWN) for each in parts] if at_step >= 0 else [UNKNOWN] * len(lines)
            epochs = [int(each[at_epoch] or UNKNOWN) for each in parts] if at_epoch >= 0 else [UNKNOWN] * len(lines)
        except (ValueError, IndexError):
            return False
        if max(steps) > MAX_COUNT or max(epochs) > MAX_COUNT:
            return False
        if at_epoch >= 0 and (base or min(epochs) < UNKNOWN):
            epochs = [epoch - base if epoch >= base else UNKNOWN for epoch in epochs]
        self.index.add_all(steps, epochs, accumulate(map(len, lines[:-1]), initial=offset))
        return True

    def take_line(self, offset: int, line: bytes) -> None:
        if not self._columns:
            self._take_header(_fields(line))
            return
        parts = line.split(b",", self._parts) if b'"' not in line else [text.encode() for text in _fields(line)]
        try:
            step = int(parts[self._step]) if self._step >= 0 and parts[self._step] else UNKNOWN
            epoch = int(parts[self._epoch]) if self._epoch >= 0 and parts[self._epoch] else UNKNOWN
        except ValueError:
            fields = _fields(line)
            if not COUNTERS.isdisjoint(fields):
                if fields != self._columns:
                    self.index = LineIndex()  # of what came before, the columns were others
                    self._take_header(fields)
                return
            step = _whole(parts[self._step]) if self._step >= 0 else UNKNOWN
            epoch = _whole(parts[self._epoch]) if self._epoch >= 0 else UNKNOWN
        except IndexError:
            return
        if step > MAX_COUNT or epoch > MAX_COUNT:
            return
        if epoch == 0 and not len(self.index.offsets):
            self._base = 0
        self.index.add(step, epoch - self._base if epoch >= self._base else UNKNOWN, offset)

    def _take_header(self, fields: list[str]) -> None:
        """Once; again where a training that goes on has other metrics: timm begins with a header at each start."""
        self._columns = fields[:MAX_COLUMNS]
        places = {name: place for place, name in enumerate(self._columns)}
        self._step = places.get("step", places.get("global_step", UNKNOWN))
        self._epoch = places.get("epoch", UNKNOWN)
        self._parts = max(self._step, self._epoch) + 1

    @property
    def counts_from_zero(self) -> bool:
        return self._base == 0 and super().counts_from_zero

    @property
    def names(self) -> Collection[str]:
        return [name for name in self._columns if name not in COUNTERS]

    def values(self, line: bytes) -> Iterator[tuple[str, float]]:
        parts = _fields(line)
        if len(parts) != len(self._columns):
            return
        for name, text in zip(self._columns, parts, strict=True):
            if text and name and name not in COUNTERS:
                try:
                    yield name, float(text)
                except ValueError:
                    continue


def _fields(line: bytes) -> list[str]:
    """Trimmed: Ultralytics padded its columns with blanks."""
    text = line.decode("utf-8", "replace").strip("\r\n\ufeff")
    parts = next(csv.reader([text]), []) if '"' in text else text.split(",")
    return [part.strip() for part in parts]


def _whole(text: bytes) -> int:
    """``4`` and ``4.0``; anything else is unknown. In 64 bits."""
    try:
        number = float(text)
    except ValueError:
        return UNKNOWN
    return int(number) if number.is_integer() and 0 <= number < 2**53 else UNKNOWN
