"""TensorBoard's event files, read without TensorFlow: records of protobuf messages, of which scalars are taken.

A record is a length of 8 bytes, its checksum of 4, the data, and its checksum of 4 (``tensorflow/core/lib/io/
record_writer.h``). The messages are ``Event``, ``Summary`` and ``TensorProto`` (``tensorflow/core/util/event.proto``,
``…/framework/summary.proto``, ``…/framework/tensor.proto``). Histograms, images and graphs are passed over unread.

An event's step is whatever a loop gave: ``add_scalar(tag, value, epoch)`` is as common as the step itself, tag by tag.
So a tag counts only where it is proven that its axis is steps.
"""

from __future__ import annotations

import itertools
import os
import struct
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping

from catalogdb.metric_files.table import Asked, Row

HEAD = struct.Struct("<QI")
TAIL = 4
MAX_EVENT = 64 * 1024
"""Larger records hold images, histograms or graphs."""

MAX_TAGS = 4096
EPOCH = "epoch"
"""The scalar that Lightning logs with every other one (``lightning/pytorch/trainer/connectors/logger_connector``)."""

MOST_BETWEEN = 10
"""Epochs between two values of a tag, where a loop doesn't log each: more would be a coincidence with the steps of an
epoch."""

_STEP, _SUMMARY = 2, 5
_VALUE = 1
_TAG, _SIMPLE_VALUE, _TENSOR = 1, 2, 8
_DTYPE, _CONTENT, _FLOATS, _DOUBLES = 1, 4, 5, 6
_DTYPES = {1: struct.Struct("<f"), 2: struct.Struct("<d"), 19: struct.Struct("<e")}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")

Field = tuple[int, int, int, int]
"""Number, wire type, and where the value begins and ends; for a varint the value itself and 0."""


class Broken(Exception):
    """A message that isn't one."""


class _Series:
    """One tag's values by step."""

    __slots__ = ("_axis", "_between", "in_order", "steps", "values")

    def __init__(self) -> None:
        self._axis: list[int] = []
        self._between = 0
        self.steps = array("q")
        self.values = array("d")
        self.in_order = True

    def add(self, step: int, value: float) -> None:
        self.in_order = self.in_order and (not self.steps or self.steps[-1] <= step)
        self._axis = []
        self.steps.append(step)
        self.values.append(value)

    def at(self, step: int) -> set[float]:
        if not self.in_order:
            places = sorted(range(len(self.steps)), key=self.steps.__getitem__)
            self.steps, self.values = (
                array(column.typecode, map(column.__getitem__, places)) for column in self._all()
            )
            self.in_order = True
        found = set()
        place = bisect_left(self.steps, step)
        while place < len(self.steps) and self.steps[place] == step:
            found.add(self.values[place])
            place += 1
        return found

    @property
    def axis(self) -> list[int]:
        """Its steps, each once, in order."""
        if not self._axis:
            self._axis = sorted(set(self.steps))
            pairs = itertools.pairwise(self._axis)
            self._between = min((later - earlier for earlier, later in pairs), default=0)
        return self._axis

    def counts_steps(self, step: int, epoch: int | None) -> bool:
        """Whether its axis can't be other epochs, of a checkpoint of this step and epoch: it has one value for each
        epoch, and that epoch's is on that step. Where no epoch is known, it has to skip some number."""
        axis = self.axis
        first, place = axis[0], bisect_left(axis, step)
        skips = axis[-1] - first >= len(axis)
        if epoch is None:
            return skips
        if not skips:
            return first <= 1 and place == epoch
        return self._between > MOST_BETWEEN and (place == epoch or (place == epoch + 1 and first == 0))

    def _all(self) -> Iterator[array]:  # type: ignore[type-arg]  # of ints and of floats
        return iter((self.steps, self.values))


class EventFile:
    """Scalars by tag and step. Values are of 32 bits, as they were written."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._series: dict[str, _Series] = {}
        self._with_epoch: dict[str, _Series] | None = None
        self._end = 0
        self._inode = 0

    def refresh(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if status.st_ino != self._inode or status.st_size < self._end:
                self._series, self._end, self._inode = {}, 0, status.st_ino
            self._with_epoch = None
            with open(descriptor, "rb", buffering=1 << 20, closefd=False) as file:
                file.seek(self._end)
                while (head := file.read(HEAD.size)) and len(head) == HEAD.size:
                    length = HEAD.unpack(head)[0]
                    following = self._end + HEAD.size + length + TAIL
                    if following > status.st_size:
                        break
                    if length > MAX_EVENT:
                        file.seek(following)
                    else:
                        self._take(file.read(length + TAIL)[:length])
                    self._end = following
        finally:
            os.close(descriptor)

    def _take(self, event: bytes) -> None:
        try:
            step = 0
            scalars: list[tuple[str, float]] = []
            for number, kind, start, end in _fields(event, 0, len(event)):
                if number == _STEP and kind == _VARINT:
                    step = start
                elif number == _SUMMARY and kind == _BYTES:
                    scalars.extend(_scalars(event, start, end))
        except Broken:
            return
        for tag, value in scalars if step < 2**63 else ():
            series = self._series.get(tag)
            if series is None:
                if len(self._series) == MAX_TAGS:
                    continue
                series = self._series[tag] = _Series()
            series.add(step, value)

    @property
    def names(self) -> Collection[str]:
        return self._series.keys()

    def counters(self, name: str) -> Mapping[str, int]:
        return {}

    def at(self, asked: Asked) -> Row:
        """The scalars of the step that are logged by steps, unless the file states that it lies in another epoch."""
        step, epoch = asked.row, asked.row_epoch
        if step is None:
            return {}
        stated = self._series[EPOCH].at(step) if EPOCH in self._series else set()
        if stated and (float(step) in stated if epoch is None else float(epoch) not in stated):
            return {}
        found = {}
        for tag, series in self._by_steps(step, epoch, beyond_epochs=asked.beyond_epochs).items():
            values = series.at(step) if tag != EPOCH else set()
            if len(values) == 1:
                found[tag] = values.pop()
        return found

    def _by_steps(self, step: int, epoch: int | None, *, beyond_epochs: bool) -> Mapping[str, _Series]:
        """The tags whose axis is steps: logged together with the epoch, as Lightning does; proven by their own values;
        or by the step, where that is more than there are epochs."""
        if EPOCH in self._series:
            return self._logged_with_epoch()
        on_step = {tag: series for tag, series in self._series.items() if series.at(step)}
        if beyond_epochs:
            return on_step
        proven = {tag: series for tag, series in on_step.items() if series.counts_steps(step, epoch)}
        epochs = max((len(series.axis) for series in proven.values()), default=step) if epoch is not None else step
        return on_step if step > epochs else proven

    def _logged_with_epoch(self) -> Mapping[str, _Series]:
        """The tags that have a value only where the epoch has one."""
        if self._with_epoch is None:
            places = set(self._series[EPOCH].axis)
            self._with_epoch = {tag: each for tag, each in self._series.items() if places.issuperset(each.axis)}
        return self._with_epoch


def _scalars(event: bytes, start: int, end: int) -> Iterator[tuple[str, float]]:
    for number, kind, first, behind in _fields(event, start, end):
        if number == _VALUE and kind == _BYTES:
            tag, value = None, None
            for inner, wire, at, until in _fields(event, first, behind):
                if inner == _TAG and wire == _BYTES:
                    tag = event[at:until].decode("utf-8", "replace")
                elif inner == _SIMPLE_VALUE and wire == _FIXED32:
                    value = _FLOAT.unpack_from(event, at)[0]
                elif inner == _TENSOR and wire == _BYTES:
                    value = _only_element(event, at, until)
            if tag and value is not None:
                yield tag, value


def _only_element(event: bytes, start: int, end: int) -> float | None:
    """The value of a tensor of one number; None for any other."""
    number_of = {}
    for number, _, at, until in _fields(event, start, end):
        number_of[number] = (at, until)
    dtype = number_of.get(_DTYPE, (0, 0))[0]
    for number, form in ((_CONTENT, _DTYPES.get(dtype)), (_FLOATS, _FLOAT), (_DOUBLES, _DOUBLE)):
        at, until = number_of.get(number, (0, 0))
        if form is not None and until - at == form.size:
            return float(form.unpack_from(event, at)[0])
    return None


def _fields(data: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of a message (https://protobuf.dev/programming-guides/encoding/)."""
    at = start
    while at < end:
        key, at = _varint(data, at, end)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at, end)
            yield number, kind, value, 0
            continue
        if kind == _BYTES:
            size, at = _varint(data, at, end)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise Broken
        if at + size > end:
            raise Broken
        yield number, kind, at, at + size
        at += size


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise Broken
