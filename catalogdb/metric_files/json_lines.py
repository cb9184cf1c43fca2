"""One JSON object to a line: MMEngine's ``scalars.json``, Detectron2's ``metrics.json``, DETR's ``log.txt``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress

from catalogdb.metric_files.table import UNKNOWN, LineFile

COUNTERS = frozenset(
    {"step", "global_step", "iter", "iteration", "epoch", "time", "data_time", "eta_seconds", "memory"}
)
"""Keys that are no metrics."""

_NUMBER = rb'"\s*:\s*([0-9]{1,18})(?=[\s,}])'
_EPOCH = re.compile(rb'"epoch' + _NUMBER)
_ITERATION = re.compile(rb'"iteration' + _NUMBER)
_ITER = re.compile(rb'"iter' + _NUMBER)
_STEP = re.compile(rb'"step' + _NUMBER)
_GLOBAL_STEP = re.compile(rb'"global_step' + _NUMBER)
_COUNTERS = {"epoch": _EPOCH, "iteration": _ITERATION, "iter": _ITER, "step": _STEP, "global_step": _GLOBAL_STEP}
_NAME = re.compile(r"[^\x00-\x1f]{1,512}")


class JsonLines(LineFile):
    """``epoch`` (0-based) and ``step``, as DETR's ``main.py`` writes its log. Keys are found without parsing a line;
    what is asked for is parsed."""

    def take_line(self, offset: int, line: bytes) -> None:
        step = _found(_STEP, line)
        self.index.add(step if step != UNKNOWN else _found(_GLOBAL_STEP, line), _found(_EPOCH, line), offset)

    def values(self, line: bytes) -> Iterator[tuple[str, float]]:
        try:
            row = json.loads(line)
        except ValueError:
            return
        if not isinstance(row, dict) or any(row.get(key) != found for key, found in _counters_in(line)):
            return  # the counter that was found stands in an object within the row
        for name, value in row.items():
            if type(value) in (int, float) and name not in COUNTERS and _NAME.fullmatch(name):
                with suppress(OverflowError):
                    yield name, float(value)


class DetectronMetrics(JsonLines):
    """``iteration`` is the 0-based index of the one that was done (``detectron2/utils/events.py``, ``JSONWriter``)."""

    def take_line(self, offset: int, line: bytes) -> None:
        self.index.add(_found(_ITERATION, line), UNKNOWN, offset)


class MmengineScalars(JsonLines):
    """Training rows state ``iter`` and, in a loop of epochs, ``epoch``, which begins with 1. Rows of a validation state
    nothing but ``step``: the epochs done where they are logged by epoch, which is the default, else the iterations
    (``mmengine/hooks/logger_hook.py``, ``after_val_epoch``). A ``step`` of epochs never exceeds the epoch of the rows
    around it, so that those rows tell which it is."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._newest = self._newest_epoch = UNKNOWN

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._newest = self._newest_epoch = UNKNOWN

    def take_line(self, offset: int, line: bytes) -> None:
        iteration, epoch, step = _found(_ITER, line), _found(_EPOCH, line), _found(_STEP, line)
        if iteration != UNKNOWN:
            self._newest, self._newest_epoch = iteration, epoch
            self.index.add(iteration, epoch - 1 if epoch > 0 else UNKNOWN, offset)
        elif step != UNKNOWN and step == self._newest_epoch != self._newest:
            self.index.add(UNKNOWN, step - 1, offset)
        elif step != UNKNOWN and step >= self._newest > self._newest_epoch:
            self.index.add(step, UNKNOWN, offset)


def _counters_in(line: bytes) -> Iterator[tuple[str, int]]:
    for key, pattern in _COUNTERS.items():
        found = _found(pattern, line)
        if found != UNKNOWN:
            yield key, found


def _found(pattern: re.Pattern[bytes], line: bytes) -> int:
    found = pattern.search(line)
    return int(found[1]) if found is not None else UNKNOWN
