"""What the tiers know about one checkpoint, each and together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from catalogdb.records.candidate import Candidate
from catalogdb.records.header import Weights
from catalogdb.records.terms import State, Tier
from catalogdb.records.values import ParamGroup, Value

FIELD_NAMES: tuple[str, ...] = (
    "exp_name",
    "architecture",
    "backbone",
    "decoder",
    "head",
    "loss",
    "epoch",
    "global_step",
    "max_epochs",
    "training_phase",
    "monitor",
    "monitor_mode",
    "created_at",
    "config_path",
    "wandb_run_id",
    "precision",
    "recall",
    "hmean",
    "validation_loss",
    "claims",
    "stated_epoch",
)
"""The resolved fields: each has a column, a value or null, and an origin."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that kept a file, or a part of it, from being used. One line for the user.

    ``path`` is absolute; ``tier`` is null where no tier was at work (walking, reading the checkpoint itself).
    ``passing``: the disk was at fault, or a file that the row doesn't depend on, so that it may be gone at the next
    look although no file of the row has changed.
    """

    path: str
    tier: str | None
    reason: str
    passing: bool = False

    def to_dict(self) -> dict[str, str | None]:
        return {"path": self.path, "tier": self.tier, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one tier knows about one checkpoint. Values are known ones only: a field it doesn't know is absent."""

    fields: Mapping[str, Value] = field(default_factory=dict)
    metrics: Mapping[str, Value] = field(default_factory=dict)
    params: tuple[ParamGroup, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """One checkpoint, resolved: what the writer makes a row of.

    ``failed`` names the tiers that could not be asked; ``recheck`` asks for another look at the next scan,
    whether or not a file has changed, ``recheck_at`` (ISO 8601, UTC) for one after that moment.
    """

    candidate: Candidate
    state: State
    format: str | None
    source: Tier
    fields: Mapping[str, Value] = field(default_factory=dict)
    metrics: Mapping[str, Value] = field(default_factory=dict)
    params: tuple[ParamGroup, ...] = ()
    weights: Weights | None = None
    problems: tuple[Problem, ...] = ()
    failed: frozenset[Tier] = frozenset()
    recheck: bool = False
    recheck_at: str | None = None
