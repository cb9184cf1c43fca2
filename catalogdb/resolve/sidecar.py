"""The first tier: the V1 sidecar beside a checkpoint, believed as far as the checkpoint's own header agrees."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import is_

from catalogdb.config_facts import is_known
from catalogdb.errors import MetadataError, ResolverError
from catalogdb.headlines import HEADLINES
from catalogdb.metadata import SHARED_SECTIONS, salvage
from catalogdb.records import (
    Candidate,
    CheckpointHeader,
    Finding,
    Origin,
    Param,
    ParamGroup,
    Problem,
    Scope,
    Tier,
    Value,
)
from catalogdb.resolve.base import Hints
from catalogdb.resolve.documents import read_source
from catalogdb.resolve.headline import monitored_headline
from catalogdb.resolve.names import counters
from catalogdb.resolve.own_score import own_scores
from catalogdb.resolve.params import MODEL_PARAMETERS, flatten

FIELDS: Mapping[str, tuple[str, ...]] = {
    "exp_name": ("exp_name",),
    "architecture": ("model", "architecture"),
    "backbone": ("model", "encoder", "model_name"),
    "decoder": ("model", "decoder", "name"),
    "head": ("model", "head", "name"),
    "loss": ("model", "loss", "name"),
    "epoch": ("training", "epoch"),
    "global_step": ("training", "global_step"),
    "max_epochs": ("training", "max_epochs"),
    "training_phase": ("training", "training_phase"),
    "monitor": ("checkpointing", "monitor"),
    "monitor_mode": ("checkpointing", "mode"),
    "created_at": ("created_at",),
    "wandb_run_id": ("wandb_run_id",),
    "precision": ("metrics", "precision"),
    "recall": ("metrics", "recall"),
    "hmean": ("metrics", "hmean"),
    "validation_loss": ("metrics", "validation_loss"),
}
"""Field → its place in the sidecar."""

OF_THE_STEP = ("epoch", "global_step", "created_at", *HEADLINES)
"""Fields that belong to one step: a sidecar of another step says nothing about them."""

MAX_SHARED = 1024
SHOWN_ERRORS = 3


@lru_cache(maxsize=4096)
def _origin(key: str, scope: Scope = "checkpoint") -> Origin:
    return Origin("yaml", "sidecar", "", key, scope)


_FIELD_KEYS = {".".join(keys) for keys in FIELDS.values()}
_PLACES = tuple((field, keys, _origin(".".join(keys))) for field, keys in FIELDS.items())
_PLACES_OF_RUN = tuple(place for place in _PLACES if place[1][0] in SHARED_SECTIONS)
_PLACES_OF_FILE = tuple(place for place in _PLACES if place[1][0] not in SHARED_SECTIONS)


class SidecarResolver:
    """Reads ``X.metadata.yaml``. Values that aren't valid are left out one by one, each with a problem."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, ...], tuple[tuple[object, ...], dict[str, Value], tuple[ParamGroup, ...]]] = {}

    @property
    def name(self) -> Tier:
        return "yaml"

    def resolve(self, candidate: Candidate, *, wanted: Collection[str], hints: Hints) -> Finding | None:
        del wanted
        source = candidate.source("sidecar")
        if source is None:
            return None
        document = read_source("yaml", source)
        try:
            known, errors = salvage(document, source.path)
        except MetadataError as error:
            raise ResolverError("yaml", source.path, str(error.reason)) from error
        problems = [Problem(source.path, "yaml", _in_one_line(errors))] if errors else []
        of_run, params = self._of_run(known)
        fields = {**_fields(known, _PLACES_OF_FILE), **of_run}
        metrics = _metrics(known, fields, hints.header, candidate.link_target or candidate.path)
        contradiction = contradicts(fields, stated_counters(candidate, hints.header))
        if contradiction is not None:
            other = other_model(fields, hints.header)
            if other is not None:
                return Finding(problems=(Problem(source.path, "yaml", other),))
            problems.append(Problem(source.path, "yaml", contradiction))
            metrics = {}
            for field in OF_THE_STEP:
                fields.pop(field, None)
        return Finding(fields, metrics, params, tuple(problems))

    def _of_run(self, known: Mapping[str, object]) -> tuple[Mapping[str, Value], tuple[ParamGroup, ...]]:
        """Fields and parameters out of the sections that the sidecars of a run have in common.

        ``salvage`` gives the same objects for equal sections, so that they are known again by identity.
        """
        sections = {name: known[name] for name in SHARED_SECTIONS if name in known}
        objects = tuple(sections.values())
        key = tuple(map(id, objects))
        made = self._made.get(key)
        if made is not None and all(map(is_, made[0], objects)):
            return made[1], made[2]
        params = (Param(name, value, _origin(name)) for name, value in flatten(sections) if name not in _FIELD_KEYS)
        group = ParamGroup(tuple(params))
        fields = _fields(sections, _PLACES_OF_RUN)
        if len(self._made) >= MAX_SHARED:
            self._made.clear()
        self._made[key] = objects, fields, (group,) if group.params else ()
        return fields, self._made[key][2]


def _in_one_line(errors: Sequence[MetadataError]) -> str:
    said = "; ".join(f"{error.field}: {error.reason}" for error in errors[:SHOWN_ERRORS])
    return said if len(errors) <= SHOWN_ERRORS else f"{said}; and {len(errors) - SHOWN_ERRORS} more"


def other_model(fields: Mapping[str, Value], header: CheckpointHeader) -> str | None:
    """Why a sidecar of another state is one of another run altogether: the checkpoint was made with another model."""
    for key, field in MODEL_PARAMETERS.items():
        stated = header.hyper_parameters.get(key)
        if field in fields and isinstance(stated, str) and is_known(stated) and fields[field].value != stated.strip():
            return f"is about another checkpoint: its {field} is {fields[field].value}, the checkpoint's {stated}"
    return None


def stated_counters(candidate: Candidate, header: CheckpointHeader) -> Mapping[str, int]:
    """``epoch`` and ``global_step`` as the file itself states them: in its header, else in a name of its own."""
    in_header = {"epoch": header.epoch, "global_step": header.global_step}
    return {
        **counters((candidate.link_target or "").rpartition("/")[2]),
        **counters(candidate.path.rpartition("/")[2]),
        **{field: value for field, value in in_header.items() if value is not None},
    }


def contradicts(fields: Mapping[str, Value], stated: Mapping[str, int]) -> str | None:
    """Why the sidecar's numbers are those of another state than the file's; None where nothing says so.

    The step decides where both state it: a sidecar rewritten at a later save has the later step. An epoch is only
    compared where one of them has no step.
    """
    for field in ("global_step", "epoch"):
        if field not in stated or field not in fields:
            continue
        value = fields[field].value
        if value == stated[field]:
            return None
        return f"is about {field} {value}, but the checkpoint is of {field} {stated[field]}; its metrics are not used"
    return None


def _fields(known: Mapping[str, object], places: Iterable[tuple[str, tuple[str, ...], Origin]]) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    for field, keys, origin in places:
        value: object = known
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and is_known(value):
            fields[field] = Value(value, origin)
    return fields


def _metrics(
    known: Mapping[str, object], fields: Mapping[str, Value], header: CheckpointHeader, path: str
) -> dict[str, Value]:
    """All metrics under their names. The monitored one, where only its headline is written down, by that value."""
    found: dict[str, Value] = {}
    section = known.get("metrics")
    additional = section.get("additional_metrics") if isinstance(section, dict) else None
    if isinstance(additional, dict):
        for name, value in additional.items():
            found[name] = Value(value, _origin(f"metrics.additional_metrics.{name}"))
    for field in HEADLINES:
        if field in fields:
            found.setdefault(field, fields[field])
    if "monitor" in fields:
        monitor = str(fields["monitor"].value)
        headline = monitored_headline(monitor)
        if (
            headline is not None
            and headline in fields
            and monitor not in found
            and monitor not in own_scores(header, path)
        ):
            found[monitor] = fields[headline]
    return found
