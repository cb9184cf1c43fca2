"""A row of the catalog as users see it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from catalogdb.records.header import Weights
from catalogdb.records.terms import Mode, Scalar, State, Tier
from catalogdb.run_folders import run_folder


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A row of the catalog as users see it. Unknown is None.

    ``path`` and ``link_target`` are absolute; ``mtime`` and ``created_at`` are ISO 8601, ``size_bytes`` is bytes;
    ``provenance`` maps each known field, ``metrics.<name>`` and ``params.<name>`` to
    ``{"tier", "source", "scope", "key"}``; ``tags`` maps plain tags to None.
    """

    id: int
    path: str
    root: str
    rel_path: str
    format: str | None
    size_bytes: int
    mtime: str
    state: State
    source: Tier | None
    stale: bool
    exp_name: str | None = None
    architecture: str | None = None
    backbone: str | None = None
    decoder: str | None = None
    head: str | None = None
    loss: str | None = None
    epoch: int | float | None = None
    global_step: int | None = None
    max_epochs: int | None = None
    training_phase: str | None = None
    monitor: str | None = None
    monitor_mode: Mode | None = None
    created_at: str | None = None
    config_path: str | None = None
    wandb_run_id: str | None = None
    precision: float | None = None
    recall: float | None = None
    hmean: float | None = None
    validation_loss: float | None = None
    claims: str | None = None
    stated_epoch: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Scalar] = field(default_factory=dict)
    provenance: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    weights: Weights | None = None
    link_target: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    note: str | None = None
    problems: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        """The W&B run's id, else the run's folder, absolute."""
        return self.wandb_run_id or run_folder(self.path, self.root)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: NaN and infinity become None."""
        return {item.name: json_value(getattr(self, item.name)) for item in fields(self)}


def json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Weights):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: json_value(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [json_value(item) for item in value]
    return value
