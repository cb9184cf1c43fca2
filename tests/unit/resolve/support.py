"""Candidates and headers, made by hand; documents beside them, on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from catalogdb.records import (
    FIELD_NAMES,
    Candidate,
    CheckpointHeader,
    Finding,
    MonitorState,
    ParamGroup,
    Scalar,
    Source,
    SourceRole,
    Stamp,
    sidecar_path,
)
from catalogdb.resolve import Hints, InferenceResolver, SidecarResolver

HOME = "/mnt/cluster/run/checkpoints"


def source(path: Path, content: Mapping[str, Any] | str, role: SourceRole = "sidecar") -> Source:
    text = content if isinstance(content, str) else yaml.safe_dump(dict(content), sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    status = path.stat()
    return Source(role, str(path), Stamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev))


def candidate(
    root: Path | str,
    rel_path: str = "run/checkpoints/epoch=1-step=20.ckpt",
    *,
    sidecar: Mapping[str, Any] | str | None = None,
    config: Mapping[str, Any] | str | None = None,
    link_target: str | None = None,
) -> Candidate:
    """``config`` goes where Hydra would put it for a run with a folder ``checkpoints``."""
    place = Path(root) / rel_path
    sources = []
    if sidecar is not None:
        sources.append(source(Path(sidecar_path(str(place))), sidecar))
    if config is not None:
        sources.append(source(place.parent.parent / ".hydra" / "config.yaml", config, "config"))
    return Candidate(str(root), rel_path, Stamp(100, 1, 2, 3), tuple(sources), link_target)


def header(*monitors: MonitorState, **more: Any) -> CheckpointHeader:
    values = {"format": "torch_zip", "framework": "lightning", "epoch": 1, "global_step": 20, **more}
    return CheckpointHeader(monitors=monitors, **values)


def keeper(
    kept: Mapping[str, float] | None = None, *, monitor: str = "val/loss", current: float | None = None, **more: Any
) -> MonitorState:
    """``kept`` by file name, in the folder of the machine that trained."""
    folder = more.pop("folder", HOME)
    best = {f"{folder}/{name}": score for name, score in (kept or {}).items()}
    return MonitorState(monitor, more.pop("mode", "min"), current, best_k_models=best, **more)


def sidecar_of(found: Candidate, about: CheckpointHeader | None = None) -> Finding:
    finding = SidecarResolver().resolve(found, wanted=FIELD_NAMES, hints=Hints(about or CheckpointHeader(None)))
    assert finding is not None
    return finding


def inferred(found: Candidate, about: CheckpointHeader | None = None) -> Finding:
    finding = InferenceResolver().resolve(found, wanted=FIELD_NAMES, hints=Hints(about or CheckpointHeader(None)))
    assert finding is not None
    return finding


def values(finding: Finding) -> dict[str, object]:
    return {name: value.value for name, value in finding.fields.items()}


def metrics(finding: Finding) -> dict[str, float]:
    return {name: value.value for name, value in finding.metrics.items()}


def params(groups: tuple[ParamGroup, ...]) -> dict[str, Scalar]:
    """No name twice."""
    found = [(name, value.value) for group in groups for name, value in group.values.items()]
    assert len(dict(found)) == len(found)
    return dict(found)


DOCUMENT: dict[str, Any] = {
    "schema_version": "1.0",
    "checkpoint_path": "old/place.ckpt",
    "exp_name": "exp",
    "created_at": "2025-10-18T14:32:15",
    "training": {"epoch": 1, "global_step": 20, "training_phase": "training", "max_epochs": 50},
    "model": {
        "architecture": "dbnet",
        "encoder": {"model_name": "resnet50", "pretrained": True, "frozen": False},
        "decoder": {"name": "pan_decoder", "in_channels": [256, 512]},
        "head": {"name": "db_head", "params": {"box_thresh": 0.3}},
        "loss": {"name": "db_loss", "params": {"alpha": 1.0}},
    },
    "metrics": {
        "precision": 0.85,
        "recall": 0.83,
        "hmean": 0.84,
        "validation_loss": 0.02,
        "additional_metrics": {"val/iou": 0.72},
    },
    "checkpointing": {"monitor": "val/hmean", "mode": "max", "save_top_k": 3, "save_last": True},
    "wandb_run_id": "abc123de",
}


def edited(**places: Any) -> dict[str, Any]:
    """DOCUMENT with other values at dotted places (``__`` for the dot); None takes the value away."""
    document: dict[str, Any] = yaml.safe_load(yaml.safe_dump(DOCUMENT, sort_keys=False))
    for place, value in places.items():
        *above, name = place.split("__")
        section = document
        for part in above:
            section = section[part]
        if value is None:
            del section[name]
        else:
            section[name] = value
    return document
