"""Which run a checkpoint is of, and which row of its history: read off the file, its path and what lies beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from catalogdb.layouts import CHECKPOINT_FOLDERS, trained_epoch
from catalogdb.records import (
    Candidate,
    CheckpointHeader,
    Resolution,
    RunQuestion,
    RunRef,
    RunScore,
    RunSource,
    Scalar,
)
from catalogdb.resolve.names import BACKBONES
from catalogdb.resolve.own_score import own_scores
from catalogdb.resolve.wandb.run_folders import RunFolders

RUN_ID = re.compile(r"[a-z0-9]{8}")
"""What W&B makes up (``sdk/lib/runid.py``)."""

ENDS_IN_RUN_ID = re.compile(r"[-_.](?=[a-z0-9]*[0-9])(?=[a-z0-9]*[a-z])([a-z0-9]{8})")
"""``dbnet-resnet50-abc123de``; digits alone are a date, letters alone a word."""

IN_HYPER_PARAMETERS = ("wandb_run_id", "logger.wandb.id", "wandb.run_id", "wandb.id", "wandb_id")
MAX_BESIDE = 8
"""Runs in a ``wandb`` folder that each may be the checkpoint's: beyond, it is a whole project's."""

CONFIRMING = 3
"""Parameters that have to agree where no score does."""

MAX_CONFIRMING = 256


class RunQuestions:
    """Makes a checkpoint's question. Costs nothing where no run is named: a few strings, one listing per folder."""

    def __init__(self, folders: RunFolders) -> None:
        self._folders = folders

    def ask(self, candidate: Candidate, header: CheckpointHeader, known: Resolution) -> RunQuestion | None:
        """None where nothing leads to a run. ``known`` is what the other tiers said."""
        refs = _distinct(_stated(header, known))
        if refs:
            return question_about(candidate, header, refs)
        params = _plain(header.hyper_parameters)
        if len(params) < CONFIRMING and not any(state.monitor for state in header.monitors):
            return None
        folder = candidate.path.rpartition("/")[0]
        guesses = _distinct(self._guessed(folder, header, _named(known)))
        return question_about(candidate, header, guesses)._replace(params=params) if guesses else None

    def _guessed(self, folder: str, header: CheckpointHeader, named: tuple[str, str]) -> Iterator[RunRef]:
        entity, project = named
        yield from self._from_path(folder, "path", entity, project, folder)
        for state in header.monitors:
            if state.dirpath:
                yield from self._from_path(state.dirpath, "dirpath", entity, project, folder)
        beside = self._folders.near(folder)[:1]
        for stage in beside:
            if len(stage.runs) <= MAX_BESIDE:
                for run_id in sorted(stage.runs, key=lambda run_id: (run_id != stage.latest, run_id)):
                    yield RunRef(run_id, entity, project, "run folder")

    def _from_path(self, path: str, source: RunSource, entity: str, project: str, folder: str) -> Iterator[RunRef]:
        """``<project>/<run id>/checkpoints/…``; or an experiment's folder whose name ends in an id."""
        parts = path.replace("\\", "/").rstrip("/").split("/")
        places = [index for index, part in enumerate(parts) if part.lower() in CHECKPOINT_FOLDERS]
        place = places[-1] - 1 if places else len(parts) - 1
        name = parts[place] if place > 0 else ""
        above = parts[place - 1] if place > 1 else ""
        if RUN_ID.fullmatch(name) or (name and self._folders.sessions(folder, name)):
            yield RunRef(name, entity, project or (above if places else ""), source)
        ending = ENDS_IN_RUN_ID.search(name[-9:]) if len(name) > 9 else None
        if ending is not None and not name.endswith(BACKBONES):
            yield RunRef(ending[1], entity, project, source)


def question_about(candidate: Candidate, header: CheckpointHeader, refs: tuple[RunRef, ...]) -> RunQuestion:
    """A checkpoint's question about given runs."""
    path = candidate.link_target or candidate.path
    scores = tuple(
        RunScore(state.monitor, own_scores(header, path).get(state.monitor), state.current_score)
        for state in header.monitors
        if state.monitor
    )
    at, sure = validation_step(header)
    folder = candidate.path.rpartition("/")[0]
    epoch = trained_epoch(header, path.rpartition("/")[2]) if header.framework == "lightning" else header.epoch
    return RunQuestion(refs, folder, epoch, at, sure, scores, step=header.global_step)


def parse_run(text: str, source: RunSource, entity: str = "", project: str = "") -> RunRef | None:
    """A bare id, ``project/id`` or ``entity/project/id``; None for anything else."""
    parts = [part.strip() for part in text.strip().strip("/").split("/")]
    if not all(parts) or len(parts) > 3:
        return None
    given = ["", "", *parts][-3:]
    return RunRef(given[2], given[0] or entity, given[1] or project, source)


def _stated(header: CheckpointHeader, known: Resolution) -> Iterator[RunRef | None]:
    entity, project = _named(known)
    field = known.fields.get("wandb_run_id")
    if field is not None:
        source: RunSource = "config" if field.origin.role == "config" else "sidecar"
        yield parse_run(str(field.value), source, entity, project)
    for key in IN_HYPER_PARAMETERS:
        value = header.hyper_parameters.get(key)
        if isinstance(value, str) and value.strip():
            prefix = key.rpartition(".")[0]
            inside = [str(header.hyper_parameters.get(f"{prefix}.{name}") or "") for name in ("entity", "project")]
            yield parse_run(value, "hyper_parameters", inside[0] or entity, inside[1] or project)


def _named(known: Resolution) -> tuple[str, str]:
    """Entity and project as the config has them."""
    found = {"logger.wandb.entity": "", "logger.wandb.project": ""}
    for group in known.params:
        if next(iter(group.values), "").startswith("logger."):
            for name, (value, _) in group.values.items():
                if name in found and isinstance(value, str):
                    found[name] = value.strip()
    return found["logger.wandb.entity"], found["logger.wandb.project"]


def _distinct(refs: Iterable[RunRef | None]) -> tuple[RunRef, ...]:
    """The first of each run: the ones that say more about whose it is are those who were asked first."""
    found: dict[str, RunRef] = {}
    for ref in refs:
        if ref is not None:
            earlier = found.setdefault(ref.run_id, ref)
            if earlier is not ref and not earlier.project and ref.project:
                found[ref.run_id] = earlier._replace(project=ref.project)
    return tuple(found.values())


def _plain(params: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
    """Those that can tell one run from another."""
    chosen = {name: value for name, value in params.items() if value is not None}
    return dict(list(chosen.items())[:MAX_CONFIRMING])


def validation_step(header: CheckpointHeader) -> tuple[int | None, bool]:
    """The trainer's step under which the validation before this file's save was logged, and whether that is sure.

    Lightning logs with the number of batches stepped (``trainer/global_step``; with several optimizers that isn't
    ``global_step``), which a validation at the end of an epoch does before the last batch is counted. Measured with
    Lightning 2.6: one and two optimizers, two validations an epoch, accumulated gradients, resumed runs.
    """
    progress = header.progress
    if progress is not None and progress.row is not None:
        return progress.row, True
    if header.framework == "lightning" and header.global_step:
        return header.global_step - 1, False
    return None, True
