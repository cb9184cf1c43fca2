"""From what the catalog knows of a checkpoint to the checkpoint's sidecar."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from catalogdb.discovery import candidate_at
from catalogdb.errors import MetadataError, NotFound
from catalogdb.headlines import HEADLINES
from catalogdb.metadata import (
    DERIVED,
    HYPER_PARAMETERS,
    PLACEHOLDERS,
    SHARED_SECTIONS,
    UNKNOWN,
    parse_metadata,
    salvage,
)
from catalogdb.query import ask
from catalogdb.query.direction import known_mode
from catalogdb.records import Checkpoint, SidecarAction, SidecarWrite, sidecar_path
from catalogdb.resolve.record import FIELDS
from catalogdb.sidecars import write_sidecar
from catalogdb.store import Store
from catalogdb.timestamps import iso_of_ns

SECTIONS = tuple(f"{name}." for name in SHARED_SECTIONS)
"""What the names of parameters begin with that have a place in V1."""


class _Obstacle(Exception):
    """Why no sidecar can be made of a row."""


def write_sidecars(
    store: Store, where: str, *, suffixes: tuple[str, ...], dry_run: bool, force: bool
) -> Iterator[SidecarWrite]:
    """One record for each checkpoint that a filter matches, by path. Raises NotFound where it matches none."""
    looked_at = 0
    converter = Converter(suffixes, dry_run=dry_run, force=force)
    for checkpoint in ask.search_at_leisure(store, ask.Question(where, order_by=("path",))):
        looked_at += 1
        yield converter.convert(checkpoint)
    if not looked_at:
        raise NotFound("no checkpoint matches" if where.strip() else "there is no checkpoint; scan first")


class Converter:
    """Writes sidecars, one after the other. A sidecar is only made of a row that is true of the file as it now is."""

    def __init__(self, suffixes: tuple[str, ...], *, dry_run: bool, force: bool) -> None:
        self._suffixes = suffixes
        self._dry_run = dry_run
        self._force = force
        self._folder: tuple[str, Mapping[str, list[str]]] = ("", {})

    def convert(self, checkpoint: Checkpoint) -> SidecarWrite:
        target = sidecar_path(checkpoint.path)
        there = os.path.lexists(target)

        def ended(action: SidecarAction, reason: str | None = None, values: Sequence[str] = ()) -> SidecarWrite:
            return SidecarWrite(checkpoint.path, target, action, tuple(values), reason)

        if there and not self._force:
            return ended("kept")
        try:
            self._check(checkpoint)
        except _Obstacle as obstacle:
            return ended("skipped", str(obstacle))
        try:
            document, values = document_of(checkpoint)
        except MetadataError as error:
            return ended("failed", f"{error.field}: {error.reason}" if error.field else error.reason)
        if not values:
            return ended("skipped", "nothing is known of it but what holds for its run as a whole")
        if self._dry_run:
            return ended("replace" if there else "write", values=values)
        try:
            write_sidecar(document, checkpoint.path, overwrite=self._force, check=lambda: _check_unchanged(checkpoint))
        except FileExistsError:
            return ended("kept")
        except _Obstacle as obstacle:
            return ended("skipped", str(obstacle))
        except MetadataError as error:
            return ended("failed", error.reason)
        except OSError as error:
            return ended("failed", f"can't be written: {error.strerror or error}")
        return ended("replaced" if there else "written", values=values)

    def _check(self, checkpoint: Checkpoint) -> None:
        """Raises _Obstacle."""
        if checkpoint.state != "ready":
            raise _Obstacle(f"it is {checkpoint.state}")
        others = [name for name in self._of_one_stem(checkpoint.path) if name != checkpoint.path.rpartition("/")[2]]
        if others:
            raise _Obstacle(f"{others[0]} would have the same sidecar; rename one of them")
        _check_unchanged(checkpoint)

    def _of_one_stem(self, path: str) -> list[str]:
        """The checkpoints by name that share the sidecar of this one. The rows come by folder: one listing is kept."""
        folder = path.rpartition("/")[0]
        if self._folder[0] != folder:
            by_sidecar: dict[str, list[str]] = {}
            try:
                with os.scandir(folder or "/") as entries:
                    names = [entry.name for entry in entries if entry.name.endswith(self._suffixes)]
            except OSError:
                names = []
            for name in names:
                by_sidecar.setdefault(sidecar_path(name), []).append(name)
            self._folder = folder, by_sidecar
        return self._folder[1].get(sidecar_path(path.rpartition("/")[2]), [])


def document_of(checkpoint: Checkpoint) -> tuple[dict[str, Any], list[str]]:
    """A checkpoint's sidecar, valid V1, and the names of what it states. Values of scope ``run`` are left out.

    Where V1 requires a value that isn't known, a placeholder stands; those that don't say ``unknown`` themselves are
    listed under ``unknown``. Headlines that repeat a metric of its own name are listed under ``derived``, and
    parameters that V1 has no place for stand under ``hyper_parameters``, so that a reader ends with the very row.
    Raises MetadataError where no valid sidecar can be made of it.
    """
    stated = {name for name, origin in checkpoint.provenance.items() if origin["scope"] == "checkpoint"}
    document: dict[str, Any] = {}
    hyper_parameters: dict[str, Any] = {}
    for name in (name for name in checkpoint.params if f"params.{name}" in stated):
        has_place = checkpoint.provenance[f"params.{name}"]["key"] == name and name.startswith(SECTIONS)
        _put(*((document, name.split(".")) if has_place else (hyper_parameters, [name])), checkpoint.params[name])
    fields = [field for field in FIELDS if field in stated and getattr(checkpoint, field) is not None]
    for field in fields:
        _put(document, FIELDS[field], getattr(checkpoint, field))
    additional = {
        name: value
        for name, value in checkpoint.metrics.items()
        if f"metrics.{name}" in stated and not (name in HEADLINES and name in fields)
    }
    document["metrics"] = {**document.pop("metrics", {}), "additional_metrics": additional}
    known, _ = salvage(_with_lists(document), checkpoint.path)
    values = [field for field in fields if _at(known, FIELDS[field]) is not None]
    derived = [".".join(FIELDS[field]) for field in values if field in HEADLINES and field not in checkpoint.metrics]
    values += [name for name in additional if name not in values]
    values += [f"params.{name}" for name in hyper_parameters]
    listed = []
    for place, value in _placeholders(checkpoint, _at(known, FIELDS["monitor"])):
        if _at(known, place) is None:
            _put(known, place, value)
            listed += [".".join(place)] if value != UNKNOWN else []
    known["checkpoint_path"] = checkpoint.path.rpartition("/")[2] if checkpoint.rel_path == "." else checkpoint.rel_path
    whole = parse_metadata(known, checkpoint.path).model_dump(exclude_unset=True, exclude_none=True)
    beside = {HYPER_PARAMETERS: hyper_parameters, PLACEHOLDERS: listed, DERIVED: derived}
    return {"schema_version": "1.0", **whole, **{key: value for key, value in beside.items() if value}}, values


def _placeholders(checkpoint: Checkpoint, monitor: Any) -> Iterator[tuple[Sequence[str], Any]]:
    """What stands in each place that V1 requires, where nothing is known: what hurts least who takes it for a value."""
    numbers = {"epoch": 0, "global_step": 0, "created_at": checkpoint.mtime}
    names = ("exp_name", "architecture", "backbone", "decoder", "head", "loss", "monitor")
    for field, value in {**dict.fromkeys(names, UNKNOWN), **numbers}.items():
        yield FIELDS[field], value
    yield FIELDS["monitor_mode"], known_mode(str(monitor)) or "min"
    yield ("metrics",), {}


def _check_unchanged(checkpoint: Checkpoint) -> None:
    """Raises _Obstacle where a row isn't about the file that is there now."""
    try:
        stamp = candidate_at(checkpoint.path, checkpoint.root, checkpoint.rel_path).stamp
    except FileNotFoundError:
        raise _Obstacle("it is no longer there") from None
    except OSError as error:
        raise _Obstacle(f"it can't be looked at: {error.strerror or error}") from error
    if (stamp.size, iso_of_ns(stamp.mtime_ns)) != (checkpoint.size_bytes, checkpoint.mtime):
        raise _Obstacle("it has changed since the last scan; scan first")


def _put(document: dict[str, Any], place: Sequence[str], value: Any) -> None:
    holder: Any = document
    for key in place[:-1]:
        holder = holder.setdefault(key, {})
        if not isinstance(holder, dict):
            return
    holder[place[-1]] = value


def _at(document: Mapping[str, Any], place: Sequence[str]) -> Any:
    value: Any = document
    for key in place:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _with_lists(value: Any) -> Any:
    """Parameters of a list are called ``name.0``, ``name.1``: together they are the list again."""
    if not isinstance(value, dict):
        return value
    whole = {key: _with_lists(item) for key, item in value.items()}
    if whole and [*whole] == [str(place) for place in range(len(whole))]:
        return [*whole.values()]
    return whole
