"""W&B's runs: references, questions, and what the cache keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from catalogdb.records.candidate import Stamp
from catalogdb.records.terms import Scalar

OF_FOLDER = "file://"


class RunKey(NamedTuple):
    """Which W&B run. ``base_url`` is the server's; for a run known from its folders alone it is ``file://`` and the
    path of the ``wandb`` folder that they lie in: ids are unique in a project, and two trees may use the same one.
    ``entity`` and ``project`` are empty where nobody wrote them down."""

    base_url: str
    entity: str
    project: str
    run_id: str

    @property
    def path(self) -> str:
        """``entity/project/id``, or the bare id where it isn't known whose."""
        return "/".join(self[1:]) if self.entity and self.project else self.run_id

    @property
    def folder(self) -> str | None:
        """The ``wandb`` folder of a run that no server told of."""
        return self.base_url.removeprefix(OF_FOLDER) if self.base_url.startswith(OF_FOLDER) else None

    @property
    def whose(self) -> tuple[str, str, str]:
        """(server, entity, project); the server is empty for a run known from its folders."""
        return ("" if self.folder is not None else self.base_url), self.entity, self.project


class HistoryNeed(NamedTuple):
    """Which history row a checkpoint needs: the last one that has ``key``, at or before the trainer's step ``at``.

    ``at`` counts as Lightning logs it, under ``trainer/global_step``; W&B's own ``_step`` counts calls of ``log``.
    """

    key: str
    at: int


class HistoryRow(NamedTuple):
    """One row of a run's history: W&B's ``_step``, the trainer's step, and all that was logged with it."""

    step: int
    at: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CachedRun:
    """A W&B run as it was last fetched.

    ``found`` is False for one that W&B doesn't know, or keeps to itself (``forbidden``). ``history`` maps what was
    asked for to the rows that answer it: none, one, or several of one trainer's step (a run that was resumed).
    ``attributes`` are display name, tags, dates and the like. Times are ISO 8601 with offset; ``expires_at`` is None
    for a run that has ended and can't change.
    """

    key: RunKey
    found: bool
    fetched_at: str
    expires_at: str | None = None
    forbidden: bool = False
    state: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[HistoryNeed, tuple[HistoryRow, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunFile:
    """How far a run's ``.wandb`` file was read, and what it said up to there.

    ``read_to`` is the offset behind the last whole record; ``content`` is plain JSON, its reader's own.
    """

    path: str
    stamp: Stamp
    read_to: int
    content: Mapping[str, Any]


RunSource = Literal["sidecar", "config", "hyper_parameters", "path", "dirpath", "run folder"]


class RunRef(NamedTuple):
    """A run that a checkpoint may be of, and who says so. ``entity`` and ``project`` are empty where nobody does."""

    run_id: str
    entity: str
    project: str
    source: RunSource

    @property
    def stated(self) -> bool:
        """Somebody wrote it down. Anything else is a guess, which the run itself has to confirm."""
        return self.source in ("sidecar", "config", "hyper_parameters")


class RunScore(NamedTuple):
    """A monitored metric as the checkpoint has it: ``own`` is proven to be this file's, ``last`` may be an earlier
    one's."""

    monitor: str
    own: float | None
    last: float | None


class RunQuestion(NamedTuple):
    """What W&B is asked about one checkpoint: of which run, best reference first, and which row of its history.

    ``folder`` is the checkpoint's; ``at`` the trainer's step under which its validation was logged, None where the file
    doesn't say; ``sure`` is False where that is only likely; ``params`` are there where a guess has to be confirmed;
    ``step`` is the step that the checkpoint states of itself.
    """

    refs: tuple[RunRef, ...]
    folder: str
    epoch: int | None = None
    at: int | None = None
    sure: bool = True
    scores: tuple[RunScore, ...] = ()
    params: Mapping[str, Scalar] = {}
    step: int | None = None


class RunUse(NamedTuple):
    """What the run cache has of one project: runs, how many were found, were absent or forbidden, have expired; when
    they were fetched; their bytes; how often a run was served from it (``hits``) and had to be asked for (``misses``).
    """

    base_url: str
    entity: str
    project: str
    runs: int
    found: int
    absent: int
    expired: int
    oldest: str | None
    newest: str | None
    size_bytes: int
    hits: int
    misses: int
