"""V1 metadata as fields, metrics and parameters, wherever it was written down."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from operator import is_
from typing import NamedTuple

from catalogdb.config_facts import is_known
from catalogdb.errors import MetadataError
from catalogdb.headlines import HEADLINES
from catalogdb.metadata import HYPER_PARAMETERS, SHARED_SECTIONS
from catalogdb.records import Origin, OriginRole, ParamGroup, Value
from catalogdb.resolve.headline import monitored_headline
from catalogdb.resolve.params import flatten, mappings
from catalogdb.timestamps import extended

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
"""Field → its place in the metadata."""

OF_THE_STEP = ("epoch", "global_step", "created_at", *HEADLINES)
"""Fields that belong to one step: metadata of another step says nothing about them."""

MAX_SHARED = 1024
SHOWN_ERRORS = 3

Place = tuple[str, tuple[str, ...], Origin]


class Said(NamedTuple):
    """What metadata says. The mappings may be changed; the groups are shared."""

    fields: dict[str, Value]
    metrics: dict[str, Value]
    params: tuple[ParamGroup, ...]

    def forget_step(self) -> None:
        """Leaves what is true of the whole run."""
        self.metrics.clear()
        for field in OF_THE_STEP:
            self.fields.pop(field, None)


@lru_cache(maxsize=8192)
def _origin(role: OriginRole, path: str, key: str) -> Origin:
    return Origin("yaml", role, path, key, "checkpoint")


class RecordReader:
    """Reads metadata that was found in one role, as ``salvage`` gives it; ``path`` as ``Origin`` has it."""

    def __init__(self, role: OriginRole, path: str = "") -> None:
        self._origin: Callable[[str], Origin] = partial(_origin, role, path)
        places: list[Place] = [(field, keys, self._origin(".".join(keys))) for field, keys in FIELDS.items()]
        self._places_of_run = [place for place in places if place[1][0] in SHARED_SECTIONS]
        self._places_of_file = [place for place in places if place[1][0] not in SHARED_SECTIONS]
        self._field_keys = {origin.key for _, _, origin in places}
        self._made: dict[tuple[int, ...], tuple[tuple[object, ...], dict[str, Value], tuple[ParamGroup, ...]]] = {}
        self._groups: dict[tuple[str, str], ParamGroup] = {}

    def read(self, known: Mapping[str, object], *, proven: Collection[str] = ()) -> Said:
        """``proven`` names metrics that the file itself states: no headline stands in for those."""
        of_run, params = self._of_run(known)
        fields = {**_fields(known, self._places_of_file), **of_run}
        if "monitor" not in fields:
            fields.pop("monitor_mode", None)  # the format wants one, where nothing was monitored as well
        if "created_at" in fields:
            written, origin = fields["created_at"]
            fields["created_at"] = Value(extended(str(written)), origin)
        return Said(fields, self._metrics(known, fields, proven), params)

    def added(self, hyper_parameters: Mapping[str, object]) -> tuple[ParamGroup, ...]:
        """Those that stand beside what V1 has places for."""
        named = ((name, value, f"{HYPER_PARAMETERS}.{name}") for name, value in flatten(hyper_parameters))
        params = {name: Value(value, self._origin(key)) for name, value, key in named}
        return (ParamGroup(params),) if params else ()

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
        found = [
            self._group(prefix, direct)
            for name, section in sections.items()
            if isinstance(section, dict)
            for prefix, direct in mappings(name, section)
        ]
        groups = tuple([group for group in found if group.values])
        fields = _fields(sections, self._places_of_run)
        if len(self._made) >= MAX_SHARED:
            self._made.clear()
        self._made[key] = objects, fields, groups
        return fields, groups

    def _group(self, prefix: str, direct: Mapping[str, object]) -> ParamGroup:
        key = prefix, repr(direct)
        group = self._groups.get(key)
        if group is None:
            flat = ((f"{prefix}{name}", value) for name, value in flatten(direct))
            group = ParamGroup(
                {name: Value(value, self._origin(name)) for name, value in flat if name not in self._field_keys}
            )
            if len(self._groups) >= MAX_SHARED:
                self._groups.clear()
            self._groups[key] = group
        return group

    def _metrics(
        self, known: Mapping[str, object], fields: Mapping[str, Value], proven: Collection[str]
    ) -> dict[str, Value]:
        """All metrics under their names. The monitored one, where only its headline is written down, by that value."""
        found: dict[str, Value] = {}
        section = known.get("metrics")
        additional = section.get("additional_metrics") if isinstance(section, dict) else None
        if isinstance(additional, dict):
            for name, value in additional.items():
                found[name] = Value(value, self._origin(f"metrics.additional_metrics.{name}"))
        for field in HEADLINES:
            if field in fields:
                found.setdefault(field, fields[field])
        if "monitor" in fields:
            monitor = str(fields["monitor"].value)
            headline = monitored_headline(monitor)
            if headline is not None and headline in fields and monitor not in found and monitor not in proven:
                found[monitor] = fields[headline]
        return found


def _fields(known: Mapping[str, object], places: Iterable[Place]) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    for field, keys, origin in places:
        value: object = known
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and is_known(value):
            fields[field] = Value(value, origin)
    return fields


def in_one_line(errors: Sequence[MetadataError]) -> str:
    said = "; ".join(f"{error.field}: {error.reason}" for error in errors[:SHOWN_ERRORS])
    return said if len(errors) <= SHOWN_ERRORS else f"{said}; and {len(errors) - SHOWN_ERRORS} more"


def contradiction(said: Mapping[str, Value], stated: Mapping[str, int]) -> str | None:
    """Why the metadata's numbers are those of another state than the file's; None where nothing says so.

    The step decides where both state it: a sidecar rewritten at a later save has the later step. An epoch is only
    compared where one of them has no step.
    """
    for field in ("global_step", "epoch"):
        if field not in stated or field not in said:
            continue
        value = said[field].value
        if value == stated[field]:
            return None
        return f"is about {field} {value}, but the checkpoint is of {field} {stated[field]}"
    return None
