"""Answers that are more than a list of checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from catalogdb.records.checkpoint import Checkpoint
from catalogdb.records.terms import Mode


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best checkpoints by a metric, best first.

    ``left_out`` counts checkpoints that match the filter but have no finite value of the metric; None where so many
    match that counting would take longer than a moment. ``ungrouped`` counts likewise those that have the metric, but
    not the field that the best of each is asked for.
    """

    checkpoints: tuple[Checkpoint, ...]
    mode: Mode
    left_out: int | None
    ungrouped: int | None = 0


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What the checkpoints of one ``value`` of a field take on disk. Missing ones take nothing, and aren't counted.

    ``checkpoints`` counts rows, ``files`` what lies behind them: hard and symbolic links to one file are one.
    ``twin_bytes`` are those of files whose weights another file, at least as large, has as well.
    """

    value: Any
    checkpoints: int
    files: int
    size_bytes: int
    twin_bytes: int


class Point(NamedTuple):
    """A checkpoint in a plot: ``x`` is its step or epoch."""

    x: int
    value: float
    path: str


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one run by ``x``. ``group`` is what its checkpoints have in the field of the question."""

    group: Any
    exp_name: str | None
    points: tuple[Point, ...]
    best: Point
    run: str = ""


@dataclass(frozen=True, slots=True)
class Curves:
    """A metric over ``x``, ``global_step`` or ``epoch``.

    ``left_out`` counts checkpoints that match the filter but have no place in it: no finite value that was measured at
    this checkpoint (one that is only known of the run belongs to no step), or no ``x``. ``of_runs`` of these have a
    value that is only known of their run.
    """

    metric: str
    mode: Mode
    x: str
    curves: tuple[Curve, ...]
    left_out: int
    of_runs: int = 0
