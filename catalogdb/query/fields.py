"""The registry: every queryable field of a checkpoint, once, for the parser, the SQL, the help and near names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from catalogdb.records import FIELD_NAMES

FieldType = Literal["text", "int", "float", "bool", "time"]

_IN_ROOT = "CASE r.path WHEN '/' THEN '' ELSE r.path END || '/' || {0}"
_PATH = f"CASE c.rel_path WHEN '.' THEN r.path ELSE {_IN_ROOT.format('c.rel_path')} END"


@dataclass(frozen=True, slots=True)
class Field:
    """A queryable field.

    ``expression`` is its SQL over the aliases ``c`` (checkpoints) and ``r`` (roots); of a time it gives what
    compares and sorts rightly: microseconds for ``mtime``, days for ``created_at``. ``synonyms`` are the names that
    MLflow users know it by.
    """

    name: str
    expression: str
    type: FieldType
    description: str
    synonyms: tuple[str, ...] = ()


def _inside_root(column: str) -> str:
    """A path that is stored relative to the root where it lies inside, as the absolute path that users see."""
    return (
        f"CASE WHEN {column} IS NULL THEN NULL WHEN substr({column}, 1, 1) = '/' THEN {column} "
        f"ELSE {_IN_ROOT.format(column)} END"
    )


_RESOLVED: dict[str, tuple[FieldType, str, tuple[str, ...]]] = {
    "exp_name": ("text", "the experiment", ("experiment", "experiment_name", "run_name")),
    "architecture": ("text", "the model's architecture", ()),
    "backbone": ("text", "the encoder", ("encoder",)),
    "decoder": ("text", "the decoder", ()),
    "head": ("text", "the head", ()),
    "loss": ("text", "the loss function's name (a loss that was logged is a metric)", ()),
    "epoch": ("float", "the epoch that had ended, from 0", ()),
    "global_step": ("int", "optimizer steps so far", ("step",)),
    "max_epochs": ("int", "the epochs that were planned", ()),
    "training_phase": ("text", "training, validation, finetuning, …", ("phase",)),
    "monitor": ("text", "the metric that chose this checkpoint", ()),
    "monitor_mode": ("text", "min or max", ()),
    "created_at": ("time", "when it was made, as its metadata says", ("created", "start_time")),
    "config_path": ("text", "the config it was trained with, absolute", ()),
    "wandb_run_id": ("text", "the W&B run", ("run_id",)),
    "precision": ("float", "the validation precision", ()),
    "recall": ("float", "the validation recall", ()),
    "hmean": ("float", "the validation harmonic mean", ()),
    "validation_loss": ("float", "the validation loss", ()),
    "claims": ("text", "what its name or a file beside it calls it, unproven: best, last", ("claim", "role")),
    "stated_epoch": ("float", "the epoch as its framework counts, where that isn't from 0", ()),
}


def _resolved(name: str) -> Field:
    kind, description, synonyms = _RESOLVED[name]
    column = f"c.{name}"
    expression = {"config_path": _inside_root(column), "created_at": f"julianday({column})"}.get(name, column)
    return Field(name, expression, kind, description, synonyms)


FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("id", "c.id", "int", "the row's number"),
        Field("path", _PATH, "text", "the file's absolute path", ("artifact_uri",)),
        Field("root", "r.path", "text", "the root that it was found under"),
        Field("rel_path", "c.rel_path", "text", "its path inside the root"),
        Field(
            "format",
            "c.format",
            "text",
            "torch_zip, safetensors, torch_legacy, torch_tar, pickle, tar, nemo, sharded, torch_dcp, deepspeed, "
            "megatron",
        ),
        Field("size_bytes", "c.size_bytes", "int", "the file's size", ("size",)),
        Field("mtime", "c.mtime_ns / 1000", "time", "when the file last changed", ("modified",)),
        Field("state", "c.state", "text", "ready, writing, truncated, unreadable, missing"),
        Field("source", "c.source", "text", "the tier that carried the row: yaml, wandb, legacy"),
        Field("stale", "c.stale", "bool", "a tier could not be asked, or its folder not be read, last time"),
        *(_resolved(name) for name in FIELD_NAMES),
        Field(
            "run",
            f"coalesce(c.wandb_run_id, run_folder({_PATH}, r.path))",
            "text",
            "the W&B run, else the run's folder, absolute: the one that holds `checkpoints/`, else the file's own",
        ),
        Field("num_parameters", "c.num_parameters", "int", "elements of the weights"),
        Field("num_tensors", "c.num_tensors", "int", "tensors in the weights"),
        Field("weights_fingerprint", "c.weights_fingerprint", "text", "equal for equal weights", ("fingerprint",)),
        Field("link_target", _inside_root("c.link_target"), "text", "where a link points to, absolute"),
        Field(
            "note",
            "(SELECT n.text FROM notes n WHERE n.checkpoint_id = c.id)",
            "text",
            "the user's note",
        ),
    )
}
"""Every field by its name, in the order that help shows them."""

_SYNONYMS = {synonym: field.name for field in FIELDS.values() for synonym in field.synonyms}


def find_field(name: str) -> Field | None:
    """The field of that name or synonym, whatever its case; spaces count as underscores (``Run ID``)."""
    plain = name.strip().lower().replace(" ", "_")
    return FIELDS.get(_SYNONYMS.get(plain, plain))


def near_names(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Names that a typing mistake, a different case or a forgotten prefix may have meant, nearest first."""
    folded: dict[str, str] = {}
    for item in known:
        folded.setdefault(item.lower(), item)
    wanted = name.lower()
    near = difflib.get_close_matches(wanted, folded, n=limit, cutoff=0.6)
    tail = [item for item in folded if f"/{item.replace('_', '/')}".endswith(f"/{wanted.replace('_', '/')}")]
    found = [folded[item] for item in dict.fromkeys([*tail, *near])]
    return found[:limit]
