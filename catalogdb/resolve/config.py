"""What a run's config says: model, trainer, callback and logger, as Hydra and Lightning templates spell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from catalogdb.records import Origin, Param, ParamGroup, Source
from catalogdb.resolve.documents import read_source
from catalogdb.resolve.params import flatten, is_known

ARCHITECTURE_KEYS = ("architecture_name", "architectures", "architecture")


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """``fields`` maps a field to its value and the key it stood under. ``document`` is the whole of it."""

    fields: Mapping[str, tuple[object, str]]
    document: Mapping[str, object]


def read_config(source: Source) -> ConfigFacts:
    """Raises ResolverError."""
    return config_facts(read_source("legacy", source))


def config_facts(document: Mapping[str, object]) -> ConfigFacts:
    fields: dict[str, tuple[object, str]] = {}

    def put(field: str, value: object, key: str) -> None:
        if field not in fields and is_known(value):
            fields[field] = (value, key)

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


@dataclass(frozen=True, slots=True)
class _Section:
    value: object
    group: ParamGroup


class ConfigParams:
    """The parameters of configs, a group for each section and one for the scalars at the top.

    Documents share the values of equal sections, so that a section is known again by its identity: it is flattened
    once for all the configs that have it.
    """

    def __init__(self, *, keep: int = 8192) -> None:
        self._keep = keep
        self._sections: dict[tuple[int, str, str], _Section] = {}

    def groups(self, document: Mapping[str, object], path: str) -> tuple[ParamGroup, ...]:
        """``path`` is the config's, as seen from the checkpoint's folder: it stands in every origin."""
        found = []
        top: dict[str, object] = {}
        for name, value in document.items():
            if isinstance(value, (dict, list)):
                group = self._section(name, value, path)
                if group.params:
                    found.append(group)
            else:
                top[name] = value
        flat = _params(top, path)
        return (*found, ParamGroup(flat)) if flat else tuple(found)

    def _section(self, name: str, value: object, path: str) -> ParamGroup:
        key = (id(value), name, path)
        known = self._sections.get(key)
        if known is None or known.value is not value:
            known = _Section(value, ParamGroup(_params({name: value}, path)))
            if len(self._sections) >= self._keep:
                self._sections.clear()
            self._sections[key] = known
        return known.group


def _params(document: Mapping[str, object], path: str) -> tuple[Param, ...]:
    return tuple(Param(name, value, Origin("legacy", "config", path, name, "run")) for name, value in flatten(document))


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
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 1 else None
