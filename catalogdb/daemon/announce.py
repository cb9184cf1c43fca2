"""From changed rows to events: what is new, moved, gone or unreadable, and which is now the best of its experiment."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Mapping, Set
from datetime import datetime, timezone
from typing import Any, NamedTuple

from catalogdb.catalog import Catalog
from catalogdb.daemon.facts import tell
from catalogdb.daemon.hooks import Hook
from catalogdb.records import Change, Resolution

BESTS = "SELECT exp_name, path, monitor, monitor_mode, value, epoch, global_step FROM best_checkpoints"


class Best(NamedTuple):
    """The best checkpoint of an experiment by one of its monitors."""

    exp_name: str
    path: str
    metric: str
    mode: str
    value: float
    epoch: int | None
    step: int | None

    @property
    def of(self) -> tuple[str, str, str]:
        """What it is the best of."""
        return self.exp_name, self.metric, self.mode


class Announcer:
    """Told of changes while they are written. ``is_quiet`` is for what a new root holds to begin with: no news."""

    def __init__(self, hook: Hook | None = None) -> None:
        self._hook = hook
        self._contenders: dict[str, set[str]] = {}
        self._bests: dict[tuple[str, str, str], Best] = {}
        self.is_quiet = False
        self._writing: set[str] = set()

    def remember(self, catalog: Catalog) -> None:
        """What is the best by now is no news."""
        self._bests = {best.of: best for best in _bests(catalog.sql(BESTS).rows)}
        self._contenders.clear()

    def note(self, change: Change) -> None:
        """One row that changed."""
        name = _name_of(change)
        (self._writing.add if name == "writing" else self._writing.discard)(change.path)
        if self.is_quiet:
            return
        self._event(name, change.path, **_said_of(change.resolution))
        experiment = _contender(change)
        if experiment is not None:
            self._contenders.setdefault(experiment, set()).add(change.path)

    def still_writing(self) -> Set[str]:
        """Paths that were last seen in the middle of a write. One that was moved is another one's by now."""
        self._writing = {path for path in self._writing if os.path.lexists(path)}
        return self._writing

    def tell_bests(self, catalog: Catalog) -> None:
        """Which of the rows that changed since the last call are now the best of their experiment."""
        contenders, self._contenders = self._contenders, {}
        for experiment, paths in contenders.items():
            rows = catalog.sql(f"{BESTS} WHERE exp_name = :name", {"name": experiment}).rows
            for best in _bests(rows):
                before, self._bests[best.of] = self._bests.get(best.of), best
                if best.path in paths and (before is None or before.value != best.value):
                    self._event(
                        "new best",
                        best.path,
                        exp_name=best.exp_name,
                        metric=best.metric,
                        value=best.value,
                        mode=best.mode,
                        epoch=best.epoch,
                        global_step=best.step,
                    )

    def _event(self, name: str, path: str, **fields: Any) -> None:
        level = {"writing": logging.DEBUG, "unreadable": logging.WARNING}.get(name, logging.INFO)
        tell(name, level=level, path=path, **fields)
        if self._hook is not None:
            at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
            self._hook.put({"event": name, "time": at, "path": path, **fields})


def _bests(rows: Iterable[tuple[Any, ...]]) -> Iterable[Best]:
    return (Best(*row) for row in rows)


def _name_of(change: Change) -> str:
    state = change.resolution.state if change.resolution else "missing"
    if state in ("unreadable", "truncated"):
        return "unreadable"
    return "writing" if state == "writing" else change.kind


def _said_of(resolution: Resolution | None) -> Mapping[str, Any]:
    if resolution is None:
        return {}
    fields = {name: resolution.fields[name].value for name in ("exp_name", "epoch") if name in resolution.fields}
    monitor = resolution.fields.get("monitor")
    value = resolution.metrics.get(monitor.value) if monitor is not None else None
    if monitor is not None and value is not None and math.isfinite(value.value):
        fields |= {"metric": monitor.value, "value": value.value}
    if resolution.state in ("unreadable", "truncated"):
        fields["reason"] = next((problem.reason for problem in resolution.problems), resolution.state)
    return fields


def _contender(change: Change) -> str | None:
    """The experiment whose best it may be now; a file that moved was it before."""
    resolution = change.resolution
    if (
        resolution is None
        or change.kind == "moved"
        or resolution.state != "ready"
        or "exp_name" not in resolution.fields
    ):
        return None
    monitor = resolution.fields.get("monitor")
    known = monitor is not None and monitor.value in resolution.metrics and "monitor_mode" in resolution.fields
    return str(resolution.fields["exp_name"].value) if known else None
