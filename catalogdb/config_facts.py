"""What a run's config says: model, trainer, callback and logger, as Hydra and Lightning templates spell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ARCHITECTURE_KEYS = ("architecture_name", "architectures", "architecture")

MODEL_PARAMETERS: Mapping[str, str] = {
    "architecture_name": "architecture",
    "encoder_name": "backbone",
    "decoder_name": "decoder",
    "head_name": "head",
    "loss_name": "loss",
}
"""Keys of a module's hyperparameters that name what a field names."""

INTERPOLATION = "${"
"""OmegaConf's ``${…}``: what stands there is not the value."""


def is_known(value: object) -> bool:
    """False for what stands in for a value: null, empty text, ``unknown``, OmegaConf's ``${…}`` and ``???``."""
    if isinstance(value, str):
        text = value.strip()
        return text not in ("", "???") and text.lower() != "unknown" and INTERPOLATION not in text
    return value is not None


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """``fields`` maps a field to its value and the key it stood under. ``document`` is the whole of it."""

    fields: Mapping[str, tuple[object, str]]
    document: Mapping[str, object]


def config_facts(document: Mapping[str, object]) -> ConfigFacts:
    fields: dict[str, tuple[object, str]] = {}

    def put(field: str, value: object, key: str) -> None:
        if field not in fields and is_known(value):
            fields[field] = (value, key)

    put("exp_name", _text(document, "exp_name"), "exp_name")
    for name in ARCHITECTURE_KEYS:
        put("architecture", _text(document, "model", name), f"model.{name}")
    put("backbone", _text(document, "model", "encoder", "model_name"), "model.encoder.model_name")
    for part in ("decoder", "head", "loss"):
        put(part, _text(document, "model", part, "name"), f"model.{part}.name")
        target = _text(document, "model", part, "_target_")
        put(part, target and target.rpartition(".")[2], f"model.{part}._target_")
    put("max_epochs", _positive(_at(document, "trainer", "max_epochs")), "trainer.max_epochs")
    callback = "callbacks.model_checkpoint"
    put("monitor", _text(document, "callbacks", "model_checkpoint", "monitor"), f"{callback}.monitor")
    mode = _text(document, "callbacks", "model_checkpoint", "mode")
    if "monitor" in fields and mode in ("min", "max"):
        put("monitor_mode", mode, f"{callback}.mode")
    put("wandb_run_id", _run_id(document), "logger.wandb.id")
    return ConfigFacts(fields, document)


def _run_id(document: Mapping[str, object]) -> str | None:
    run_id = _text(document, "logger", "wandb", "id")
    if run_id is None or not is_known(run_id):
        return None
    entity, project = (_text(document, "logger", "wandb", name) for name in ("entity", "project"))
    if is_known(entity) and is_known(project):
        return f"{entity}/{project}/{run_id}"
    return run_id


def _at(document: Mapping[str, object], *keys: str) -> object:
    value: object = document
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _text(document: Mapping[str, object], *keys: str) -> str | None:
    value = _at(document, *keys)
    return value.strip() if isinstance(value, str) else None


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**63 else None
