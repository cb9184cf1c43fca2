"""Whether a checkpoint is what it is called, among those of its folder: the best by value, the last by step."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from catalogdb.errors import QueryError
from catalogdb.query.direction import resolve_mode
from catalogdb.records import Checkpoint
from catalogdb.store import Reader, Store
from catalogdb.store.paths import absolute

SAME = 1e-6
"""Values this close, relatively, are one value: scores pass through 32 bits."""

_BESIDE = (
    "SELECT c.id, c.rel_path, c.size_bytes, c.mtime_ns, c.global_step, c.epoch, c.monitor, c.monitor_mode "
    "FROM checkpoints c JOIN roots r ON r.id = c.root_id "
    "WHERE r.path = ? AND c.rel_path >= ? AND c.rel_path < ? AND instr(substr(c.rel_path, ?), '/') = 0 "
    "AND c.state = 'ready' AND c.exp_name IS ?"
)
_VALUES = (
    "SELECT m.checkpoint_id, m.value FROM metrics m JOIN origins o ON o.id = m.origin_id "
    "JOIN metric_names n ON n.id = m.name_id WHERE m.checkpoint_id IN (SELECT value FROM json_each(?)) "
    "AND n.name = ? AND o.scope = 'checkpoint' AND m.value IS NOT NULL"
)


class _Beside(NamedTuple):
    """A checkpoint of the folder, by its row."""

    id: int
    rel_path: str
    size: int
    mtime_ns: int
    step: int | None
    epoch: float | None
    monitor: str | None
    mode: str | None

    @property
    def name(self) -> str:
        return self.rel_path.rpartition("/")[2]


def broken_claims(store: Store, checkpoint: Checkpoint) -> Iterator[str]:
    """Why it isn't what it is called, as far as the rows of its folder and experiment tell.

    A row whose file is gone, or isn't as it was when it was scanned, tells nothing."""
    said = (checkpoint.claims or "").split(", ")
    with store.reader() as reader:
        beside = _beside(reader, checkpoint)
        own = next((each for each in beside if each.id == checkpoint.id), None)
        if own is None or not _is_as_scanned(checkpoint.root, own):
            return
        others = [each for each in beside if each.id != own.id]
        reasons = [_not_best(reader, checkpoint.root, own, others)] if "best" in said else []
        if "last" in said:
            reasons.append(_not_last(checkpoint.root, own, others))
    yield from filter(None, reasons)


def _beside(reader: Reader, checkpoint: Checkpoint) -> list[_Beside]:
    folder, slash, _ = checkpoint.rel_path.rpartition("/")
    first, end = (f"{folder}/", f"{folder}0") if slash else ("", "\U0010ffff")
    parameters = (checkpoint.root, first, end, len(first) + 1, checkpoint.exp_name)
    return [_Beside(*row) for row in reader.rows(_BESIDE, parameters)]


def _not_best(reader: Reader, root: str, own: _Beside, others: list[_Beside]) -> str | None:
    """By the metric that chose it; where it doesn't say, by the one that chose all that do."""
    monitors = {(each.monitor, each.mode) for each in ([own] if own.monitor else others) if each.monitor}
    metric, mode = monitors.pop() if len(monitors) == 1 else (None, None)
    if metric is None:
        return None
    try:
        sign = 1 if resolve_mode(metric, mode=mode, recorded=reader.recorded_modes(metric)) == "max" else -1
    except QueryError:
        return None
    found = reader.rows(_VALUES, (json.dumps([own.id, *(each.id for each in others)]), metric))
    values = {row: value for row, value in found if math.isfinite(value)}
    if own.id not in values:
        return None
    value = values[own.id]
    better = [
        each
        for each in others
        if each.id in values
        and sign * values[each.id] > sign * value
        and not math.isclose(values[each.id], value, rel_tol=SAME)
    ]
    rival = _first_there(root, better, lambda each: -sign * values[each.id])
    if rival is None:
        return None
    return f"is called best, with {metric} {value:.6g}, but {rival.name} has {values[rival.id]:.6g}"


def _not_last(root: str, own: _Beside, others: list[_Beside]) -> str | None:
    """By the steps where both state one, else by the epochs."""
    later = [each for each in others if _is_later(each, own)]
    rival = _first_there(root, later, lambda each: (-(each.step or 0), -(each.epoch or 0)))
    if rival is None:
        return None
    if own.step is not None and rival.step is not None:
        return f"is called last, of step {own.step}, but {rival.name} is of step {rival.step}"
    return f"is called last, of epoch {own.epoch}, but {rival.name} is of epoch {rival.epoch}"


def _is_later(one: _Beside, other: _Beside) -> bool:
    if one.step is not None and other.step is not None:
        return one.step > other.step
    return one.epoch is not None and other.epoch is not None and one.epoch > other.epoch


def _first_there(
    root: str, found: list[_Beside], key: Callable[[_Beside], float | tuple[float, float]]
) -> _Beside | None:
    """The first by ``key``, then by name, that is on disk as its row has it."""
    ordered = sorted(found, key=lambda each: (key(each), each.name))
    return next((each for each in ordered if _is_as_scanned(root, each)), None)


def _is_as_scanned(root: str, row: _Beside) -> bool:
    """A folder need only be there: its row has the sizes and times of what is in it."""
    try:
        status = Path(absolute(root, row.rel_path)).stat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) or (status.st_size, status.st_mtime_ns) == (row.size, row.mtime_ns)
