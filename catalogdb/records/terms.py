"""The words that records are made of: the states of a row, the tiers, scopes and roles."""

from __future__ import annotations

from typing import Literal

State = Literal["ready", "writing", "truncated", "unreadable", "missing"]
"""Of a row. ``ready`` is whole; ``writing`` was too young to be judged; ``truncated`` ends too early;
``unreadable`` is not what its name says; ``missing`` is known but no longer on disk."""

HeaderState = Literal["ready", "truncated", "unreadable", "foreign"]
"""Of a file's content. ``foreign`` is no checkpoint at all: it never becomes a row."""

Tier = Literal["yaml", "wandb", "legacy"]

Scope = Literal["checkpoint", "run"]

Mode = Literal["min", "max"]

SourceRole = Literal["sidecar", "config", "metrics", "params", "state", "wandb", "marker"]
"""What a file beside a checkpoint is to it: ``metrics`` has values by step or epoch, ``params`` are parameters beside
the config, ``state`` is what training says of its checkpoints (``last_checkpoint``), ``wandb`` is W&B's local run,
``marker`` lies there while the checkpoint is written."""

OriginRole = Literal["embedded", "sidecar", "metrics", "header", "wandb", "config", "params", "state", "name"]
"""Where a value was read. ``embedded`` is the record that the callback puts into the checkpoint itself."""

Scalar = bool | int | float | str | None
"""A parameter's value. ``None`` is a null that was written down, not an absent parameter."""

TIERS: tuple[Tier, ...] = ("yaml", "wandb", "legacy")

CHECKPOINT_SUFFIXES: tuple[str, ...] = (".ckpt", ".pt", ".pth", ".pth.tar", ".bin", ".safetensors")
"""What a checkpoint's name ends with, unless the settings say otherwise."""

EMBEDDED_KEY = "catalogdb_metadata"
"""Where in a checkpoint its own record stands: the V1 metadata of the very state that was saved, as plain values."""

DRIFT = "drift: "
"""What a problem begins with that names two values of one thing: the checkpoint's own, and its sidecar's."""
