"""V1 metadata of a checkpoint, out of what its W&B run and the file itself say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from catalogdb.discovery import Walk, candidate_at
from catalogdb.errors import CatalogError, MetadataError
from catalogdb.formats import read_header
from catalogdb.headlines import HEADLINES, in_range
from catalogdb.layouts import CHECKPOINT_FOLDERS
from catalogdb.limits import Limits
from catalogdb.metadata import UNKNOWN, CheckpointMetadataV1, parse_metadata, salvage
from catalogdb.model_sections import model_names, model_parts, model_section
from catalogdb.query.direction import known_mode
from catalogdb.reading import unfinished
from catalogdb.records import CachedRun, Candidate, CheckpointHeader, Resolution, RunRef, Stamp, State
from catalogdb.resolve import EmbeddedResolver, InferenceResolver, ResolverChain, complete, merge
from catalogdb.resolve.wandb import AXIS, ENDED, RunLookup, as_step, numbers_of, question_about
from catalogdb.timestamps import parse_timestamp

EARLIEST = datetime(2000, 1, 1, tzinfo=timezone.utc)
"""Times before are no times: 1970 is what a file's time is where nobody kept it."""


ABSENT = CheckpointHeader(None, "unreadable", "it isn't there")


def find_metadata(lookup: RunLookup, ref: RunRef, path: str, limits: Limits) -> CheckpointMetadataV1 | None:
    """The metadata of a checkpoint (an absolute path) by a run; None where the run can't be had.

    Raises CatalogError where the file can't be read, and as ``run_metadata``.
    """
    candidate, header = _look_at(path, limits)
    answer = lookup.answer([(path, question_about(candidate, header, (ref,)))])[0]
    run = lookup.find_run(ref, path.rpartition("/")[0]) if answer.finding is not None else None
    if answer.finding is None or run is None:
        return None
    answers = ResolverChain([EmbeddedResolver(), InferenceResolver()]).ask(candidate, header)
    known = complete(merge(candidate, header, _state(header), answers), answer.finding)
    return run_metadata(known, run, is_there=header is not ABSENT)


def run_metadata(known: Resolution, run: CachedRun, *, is_there: bool) -> CheckpointMetadataV1:
    """``known`` has what the file and its run say; ``is_there`` is whether there is a file at all.

    Metrics are those of this file at its step, or none. Of a file that isn't there, and whose name doesn't contradict,
    the run's last state is told. Names that nobody knows are ``unknown``. Raises MetadataError for an epoch, a step or
    a time that nobody knows: V1 requires them.
    """
    candidate = known.candidate
    own = {name: value.value for name, value in known.fields.items() if value.origin.scope == "checkpoint"}
    fields = {name: value.value for name, value in known.fields.items()}
    metrics = {name: value.value for name, value in known.metrics.items() if value.origin.scope == "checkpoint"}
    epoch, step = fields.get("epoch"), fields.get("global_step")
    last_epoch, last_step = _last(run)
    ended = run.state in ENDED
    if not is_there and epoch in (None, last_epoch) and step in (None, last_step):
        epoch, step = last_epoch, last_step
        metrics = dict(numbers_of(run.summary))
    elif step is None and ended and epoch is not None and epoch == last_epoch:
        step = last_step
    headlines = {name: own[name] for name in HEADLINES if name in own}
    document = {
        "checkpoint_path": candidate.rel_path,
        "exp_name": fields.get("exp_name", UNKNOWN),
        "created_at": _created_at(known, run, is_there=is_there),
        "training": {"epoch": epoch, "global_step": step, "max_epochs": fields.get("max_epochs")},
        "model": _model(fields, run.config),
        "metrics": {**_headlines(metrics), **headlines, "additional_metrics": metrics},
        "checkpointing": _checkpointing(fields, run.config),
        "hydra_config_path": _below(fields.get("config_path"), candidate.root),
        "wandb_run_id": run.key.path,
    }
    for section, field, value in (("training", "epoch", epoch), ("training", "global_step", step)):
        if value is None:
            raise MetadataError(candidate.path, "neither the file nor its name says it", field=f"{section}.{field}")
    if document["created_at"] is None:
        raise MetadataError(candidate.path, "neither the run nor the file says it", field="created_at")
    whole, _ = salvage({name: value for name, value in document.items() if value is not None}, candidate.path)
    return parse_metadata(whole, candidate.path)


def _look_at(path: str, limits: Limits) -> tuple[Candidate, CheckpointHeader]:
    """A checkpoint by itself, in the outputs directory that its path has by habit: ``<outputs>/<experiment>/…``."""
    root = _outputs_of(path)
    rel_path = path[len(root.rstrip("/")) + 1 :]
    try:
        candidate = candidate_at(path, root, rel_path)
        return candidate, unfinished(read_header(path, limits=limits), candidate)
    except FileNotFoundError:
        folder, _, name = path.rpartition("/")
        return Candidate(root, rel_path, Stamp(0, 0, 0, 0), Walk.sources_of(folder, name)), ABSENT
    except OSError as error:
        raise CatalogError(f"{path}: can't be read: {error.strerror}") from error


def _state(header: CheckpointHeader) -> State:
    return "unreadable" if header.state == "foreign" else header.state


def _outputs_of(path: str) -> str:
    parents = Path(path).parents
    experiment = next((place.parent for place in parents if place.name.lower() in CHECKPOINT_FOLDERS), parents[0])
    return str(experiment.parent)


def _last(run: CachedRun) -> tuple[int | None, int | None]:
    """Epoch and step as the run last logged them."""
    step = as_step(run.summary.get("global_step"))
    return as_step(run.summary.get("epoch")), as_step(run.summary.get(AXIS)) if step is None else step


def _model(fields: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    return model_section({**model_names([config]), **fields}, model_parts([config]))


def _headlines(metrics: Mapping[str, float]) -> dict[str, float]:
    found = {}
    for field, names in HEADLINES.items():
        value = next((metrics[name] for name in names if name in metrics), None)
        if value is not None and in_range(field, value):
            found[field] = value
    return found


def _checkpointing(fields: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    callbacks = config.get("callbacks")
    stated = callbacks.get("model_checkpoint") if isinstance(callbacks, dict) else None
    stated = stated if isinstance(stated, dict) else {}
    monitor = fields.get("monitor", UNKNOWN)
    mode = fields.get("monitor_mode") or known_mode(monitor) or "min"
    kept = {name: stated[name] for name in ("save_top_k", "save_last") if stated.get(name) is not None}
    return {"monitor": monitor, "mode": mode, **(kept if stated.get("monitor") in (None, monitor) else {})}


def _created_at(known: Resolution, run: CachedRun, *, is_there: bool) -> str | None:
    """When its row was logged; else the file's time, where it lies within the run; else when the run began."""
    logged = known.fields.get("created_at")
    began, ended = (_moment(run.attributes.get(name)) for name in ("created_at", "heartbeat_at"))
    written = datetime.fromtimestamp(known.candidate.stamp.mtime_ns / 1e9, timezone.utc) if is_there else None
    within = written is not None and (began is None or began <= written) and (ended is None or written <= ended)
    found = [_moment(logged.value) if logged is not None else None, written if within else None, began, ended, written]
    return next((each.isoformat(timespec="seconds") for each in found if each is not None and each >= EARLIEST), None)


def _moment(text: Any) -> datetime | None:
    """W&B's times have no offset, and are UTC."""
    try:
        moment = parse_timestamp(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _below(path: Any, root: str) -> str | None:
    return path[len(root) + 1 :] if isinstance(path, str) and path.startswith(f"{root}/") else None
