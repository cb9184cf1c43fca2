"""Where W&B's own folders of runs lie, as seen from a checkpoint."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from typing import NamedTuple

STAGES = ("wandb", ".wandb")
"""The folder that ``wandb.init`` makes in its directory (``sdk/wandb_settings.py``: ``wandb_dir``)."""

RUN_FOLDER = re.compile(r"(?P<offline>offline-)?run-(?P<at>\d{8}_\d{6})-(?P<id>[\w-]+?)(?P<again>-\d)?")
"""``run-20251018_143215-abc123de``; a second offline session within the same second ends with ``-1``."""

MAX_ABOVE = 6
"""Folders above a checkpoint that are looked into."""


class RunFolder(NamedTuple):
    """One session of a run on disk. ``online``: it was sent to the server while it ran."""

    path: str
    run_id: str
    started: str
    online: bool

    @property
    def log(self) -> str:
        return f"{self.path}/run-{self.run_id}.wandb"

    @property
    def stage(self) -> str:
        """The ``wandb`` folder that it lies in."""
        return os.path.dirname(self.path)


class Stage(NamedTuple):
    """A ``wandb`` folder: its runs' sessions, oldest first, and the run that ``latest-run`` points to."""

    path: str
    runs: Mapping[str, tuple[RunFolder, ...]]
    latest: str | None


class RunFolders:
    """Finds run folders, and lists each place once in a scan. ``extra`` are directories that training was told to
    use."""

    def __init__(self, extra: tuple[str, ...] = ()) -> None:
        self._extra = extra
        self._stages: dict[str, Stage | None] = {}
        self._near: dict[str, tuple[Stage, ...]] = {}
        self._lock = threading.Lock()

    def forget(self) -> None:
        """For another scan: what was listed may be another by now."""
        with self._lock:
            self._stages.clear()
            self._near.clear()

    def near(self, folder: str) -> tuple[Stage, ...]:
        """The ``wandb`` folders in ``folder`` and those above it, nearest first."""
        with self._lock:
            known = self._near.get(folder)
            if known is None:
                known = self._near[folder] = tuple(self._find(folder))
        return known

    def sessions(self, folder: str, run_id: str) -> tuple[RunFolder, ...]:
        """All sessions of a run, oldest first, in the nearest ``wandb`` folder that has any."""
        for stage in self.near(folder):
            found = stage.runs.get(run_id)
            if found:
                return found
        return ()

    def sees(self, folder: str, stage: str) -> bool:
        """Whether a ``wandb`` folder, which may be gone, lies where it would be found from ``folder``."""
        return os.path.dirname(stage) in self._places(folder)

    def _places(self, folder: str) -> tuple[str, ...]:
        places = [folder]
        while len(places) <= MAX_ABOVE and places[-1] not in ("", "/"):
            places.append(os.path.dirname(places[-1]))
        return (*places, *self._extra)

    def _find(self, folder: str) -> Iterator[Stage]:
        for place in self._places(folder):
            if place not in self._stages:
                self._stages[place] = _first_stage(place)
            stage = self._stages[place]
            if stage is not None:
                yield stage


def _first_stage(place: str) -> Stage | None:
    for name in STAGES:
        stage = _list(f"{place}/{name}")
        if stage is not None:
            return stage
    return None


def _list(path: str) -> Stage | None:
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries]
    except OSError:
        return None
    runs: dict[str, list[RunFolder]] = {}
    for name in sorted(names, key=lambda name: name.partition("run-")[2]):
        matched = RUN_FOLDER.fullmatch(name)
        if matched is None:
            continue
        run_id = _id_of(f"{path}/{name}", matched)
        runs.setdefault(run_id, []).append(
            RunFolder(f"{path}/{name}", run_id, matched["at"], matched["offline"] is None)
        )
    if not runs:
        return None
    return Stage(path, {run_id: tuple(found) for run_id, found in runs.items()}, _latest(path))


def _id_of(path: str, matched: re.Match[str]) -> str:
    """An id may end like a session's number: the log in the folder bears the right one."""
    if matched["again"] is None:
        return matched["id"]
    whole = f"{matched['id']}{matched['again']}"
    return whole if os.path.exists(f"{path}/run-{whole}.wandb") else matched["id"]


def _latest(path: str) -> str | None:
    try:
        target = os.readlink(f"{path}/latest-run")
    except OSError:
        return None
    matched = RUN_FOLDER.fullmatch(os.path.basename(target))
    return _id_of(f"{path}/{os.path.basename(target)}", matched) if matched else None
