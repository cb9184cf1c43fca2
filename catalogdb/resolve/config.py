"""What a run's config says: model, trainer, callback and logger, as Hydra and Lightning templates spell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from catalogdb.records import Origin, Param, ParamGroup, Source
from catalogdb.resolve.documents import read_source
from catalogdb.resolve.params import flatten, is_known

MAX_MAPPINGS = 1024
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


class ConfigParams:
    """The parameters of configs, a group for each mapping: configs of a project differ in few of them.

    Documents share the values of equal sections, so that a section is known again by its identity: it is gone
    through once for all the configs that have it.
    """

    def __init__(self, *, keep: int = 2048) -> None:
        self._keep = keep
        self._sections: dict[tuple[int, str, str], tuple[object, tuple[ParamGroup, ...]]] = {}
        self._groups: dict[tuple[str, str, str], ParamGroup] = {}

    def groups(self, document: Mapping[str, object], path: str) -> tuple[ParamGroup, ...]:
        """``path`` is the config's, as seen from the checkpoint's folder: it stands in every origin."""
        found: list[ParamGroup] = []
        top: dict[str, object] = {}
        for name, value in document.items():
            if isinstance(value, dict):
                found.extend(self._section(name, value, path))
            else:
                top[name] = value
        self._add(found, "", top, path)
        return tuple(found)

    def _section(self, name: str, value: dict[str, object], path: str) -> tuple[ParamGroup, ...]:
        key = (id(value), name, path)
        known = self._sections.get(key)
        if known is not None and known[0] is value:
            return known[1]
        found: list[ParamGroup] = []
        stack: list[tuple[str, dict[str, object]]] = [(f"{name}.", value)]
        while stack:
            prefix, mapping = stack.pop()
            direct: dict[str, object] = {}
            for inner, item in mapping.items():
                if isinstance(item, dict) and len(stack) < MAX_MAPPINGS:
                    stack.append((f"{prefix}{inner}.", item))
                else:
                    direct[inner] = item
            self._add(found, prefix, direct, path)
        groups = tuple(found)
        if len(self._sections) >= self._keep:
            self._sections.clear()
        self._sections[key] = value, groups
        return groups

    def _add(self, found: list[ParamGroup], prefix: str, direct: Mapping[str, object], path: str) -> None:
        key = (path, prefix, repr(direct))
        group = self._groups.get(key)
        if group is None:
            names = ((f"{prefix}{name}", value) for name, value in flatten(direct))
            group = ParamGroup(
                tuple(Param(name, value, Origin("legacy", "config", path, name, "run")) for name, value in names)
            )
            if len(self._groups) >= self._keep:
                self._groups.clear()
            self._groups[key] = group
        if group.params:
            found.append(group)


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
