"""From changed rows to events: what is new, moved, gone or unreadable, and which is now the best of its experiment."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from catalogdb.catalog import Catalog
from catalogdb.daemon.facts import tell
from catalogdb.daemon.hooks import Hook
from catalogdb.records import Change, Resolution

BESTS = "SELECT exp_name, path, monitor, monitor_mode, value, epoch, global_step FROM best_checkpoints"


class Best(NamedTuple):
    """The best checkpoint of an experiment."""

    path: str
    metric: str
    mode: str
    value: float
    epoch: int | None
    step: int | None


class Announcer:
    """Told of changes while they are written. ``is_quiet`` is for what a new root holds to begin with: no news."""

    def __init__(self, hook: Hook | None = None) -> None:
        self._hook = hook
        self._contenders: dict[str, set[str]] = {}
        self._bests: dict[str, Best] = {}
        self.is_quiet = False
        self.writing: set[str] = set()
        """Paths that were last seen in the middle of a write."""

    def remember(self, catalog: Catalog) -> None:
        """What is the best by now is no news."""
        self._bests = dict(_bests(catalog.sql(BESTS).rows))
        self._contenders.clear()

    def note(self, change: Change) -> None:
        """One row that changed."""
        name = _name_of(change)
        (self.writing.add if name == "writing" else self.writing.discard)(change.path)
        if self.is_quiet:
            return
        self._event(name, change.path, **_said_of(change.resolution))
        experiment = _contender(change)
        if experiment is not None:
            self._contenders.setdefault(experiment, set()).add(change.path)

    def tell_bests(self, catalog: Catalog) -> None:
        """Which of the rows that changed since the last call are now the best of their experiment."""
        contenders, self._contenders = self._contenders, {}
        for experiment, paths in contenders.items():
            rows = catalog.sql(f"{BESTS} WHERE exp_name = :name", {"name": experiment}).rows
            for _, best in _bests(rows):
                before, self._bests[experiment] = self._bests.get(experiment), best
                is_same = before is not None and (before.metric, before.value) == (best.metric, best.value)
                if best.path in paths and not is_same:
                    self._event(
                        "new best",
                        best.path,
                        exp_name=experiment,
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


def _bests(rows: Iterable[tuple[Any, ...]]) -> Iterable[tuple[str, Best]]:
    return ((name, Best(*rest)) for name, *rest in rows)


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
