"""The last tier: what the checkpoint's header, its config and its names say, in this order of trust."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

from catalogdb.config_facts import MODEL_PARAMETERS, ConfigFacts, is_known
from catalogdb.errors import ResolverError
from catalogdb.records import (
    Candidate,
    CheckpointHeader,
    Finding,
    Origin,
    OriginRole,
    Param,
    ParamGroup,
    Problem,
    Scalar,
    Scope,
    Source,
    Tier,
    Value,
)
from catalogdb.resolve.base import Hints
from catalogdb.resolve.config import ConfigParams, read_config
from catalogdb.resolve.documents import PerSource
from catalogdb.resolve.names import counters, experiment, path_patterns
from catalogdb.resolve.own_score import callback_of, own_scores
from catalogdb.resolve.params import merge_params
from catalogdb.resolve.proven import proven_fields

HYPER_PARAMETERS: Mapping[str, str] = {**MODEL_PARAMETERS, "max_epochs": "max_epochs"}
"""Keys of ``hyper_parameters`` that are fields of the row."""


@lru_cache(maxsize=8192)
def _origin(role: OriginRole, path: str, key: str, scope: Scope) -> Origin:
    return Origin("legacy", role, path, key, scope)


class InferenceResolver:
    """Reads the config beside a checkpoint; everything else it needs is in the hints and the path."""

    def __init__(self) -> None:
        self._configs: PerSource[ConfigFacts] = PerSource(read_config)
        self._params = ConfigParams()
        self._last: tuple[Source, str, Finding] | None = None

    @property
    def name(self) -> Tier:
        return "legacy"

    def resolve(self, candidate: Candidate, *, wanted: Collection[str], hints: Hints) -> Finding | None:
        """Never fails as a whole: a broken config is a problem of the finding."""
        folder, _, file_name = candidate.path.rpartition("/")
        fields: dict[str, Value] = {}
        metrics: dict[str, Value] = {}
        problems: tuple[Problem, ...] = ()
        params = _header_params(hints.header.hyper_parameters)
        _from_header(hints.header, candidate.link_target or candidate.path, fields, metrics)
        config = candidate.source("config")
        if config is not None:
            relative = _relative(config, folder)
            try:
                said = self._said_by(config, relative)
            except ResolverError as error:
                problems = (Problem(config.path, "legacy", error.reason),)
            else:
                fields = _with_config(fields, said.fields)
                params = merge_params(params, said.params) if params else said.params
            fields["config_path"] = Value(config.path, _origin("config", relative, "", "run"))
        _from_names(candidate, file_name, fields, wanted)
        return Finding(fields, metrics, params, problems)

    def _said_by(self, config: Source, relative: str) -> Finding:
        """The config's values with their origins. Neighbours have the same config: the last answer is kept."""
        last = self._last
        if last is not None and last[0] == config and last[1] == relative:
            return last[2]
        facts = self._configs.get(config)
        fields = {
            field: Value(value, _origin("config", relative, key, "run")) for field, (value, key) in facts.fields.items()
        }
        found = Finding(fields, params=self._params.groups(facts.document, relative))
        self._last = config, relative, found
        return found


def _from_header(header: CheckpointHeader, path: str, fields: dict[str, Value], metrics: dict[str, Value]) -> None:
    if header.epoch is not None:
        fields["epoch"] = Value(header.epoch, _origin("header", "", "epoch", "checkpoint"))
    if header.global_step is not None:
        fields["global_step"] = Value(header.global_step, _origin("header", "", "global_step", "checkpoint"))
    for key, field in HYPER_PARAMETERS.items():
        value = header.hyper_parameters.get(key)
        expected = int if field == "max_epochs" else str
        if isinstance(value, expected) and not isinstance(value, bool) and is_known(value):
            if isinstance(value, int) and value < 1:
                continue
            text = value.strip() if isinstance(value, str) else value
            fields[field] = Value(text, _origin("header", "", f"hyper_parameters.{key}", "checkpoint"))
    if header.model is not None:
        for field, name in proven_fields(header.model, fields):
            fields[field] = Value(name, _origin("header", "", header.model.key, "checkpoint"))
    callback = callback_of(header, path)
    if callback is not None:
        key = "callbacks.ModelCheckpoint"
        fields["monitor"] = Value(callback.monitor, _origin("header", "", f"{key}.monitor", "checkpoint"))
        if callback.mode is not None:
            fields["monitor_mode"] = Value(callback.mode, _origin("header", "", f"{key}.mode", "checkpoint"))
    for name, metric in header.metrics.items():
        metrics[name] = Value(metric, _origin("header", "", name.replace("/", "_metrics."), "checkpoint"))
    for name, score in own_scores(header, path).items():
        metrics[name] = Value(score, _origin("header", "", "callbacks.ModelCheckpoint.best_k_models", "checkpoint"))


def _with_config(fields: dict[str, Value], said: Mapping[str, Value]) -> dict[str, Value]:
    """What the header says counts more. A mode is that of the config's own monitor."""
    both = {**said, **fields}
    other = "monitor" in fields and ("monitor" not in said or fields["monitor"].value != said["monitor"].value)
    if other and "monitor_mode" not in fields:
        both.pop("monitor_mode", None)
    return both


def _from_names(candidate: Candidate, file_name: str, fields: dict[str, Value], wanted: Collection[str]) -> None:
    for field, number in counters(file_name).items():
        fields.setdefault(field, Value(number, _origin("name", "", "file name", "checkpoint")))
    if any(field in wanted and field not in fields for field in ("architecture", "backbone")):
        for field, text in path_patterns(candidate.rel_path).items():
            fields.setdefault(field, Value(text, _origin("name", "", "path", "run")))
    exp_name = experiment(candidate.path, candidate.root) if "exp_name" in wanted else None
    if exp_name is not None:
        fields.setdefault("exp_name", Value(exp_name, _origin("name", "", "path", "run")))


def _header_params(hyper_parameters: Mapping[str, Scalar]) -> tuple[ParamGroup, ...]:
    params = (
        Param(name, value, _origin("header", "", f"hyper_parameters.{name}", "checkpoint"))
        for name, value in hyper_parameters.items()
    )
    return (ParamGroup(tuple(params)),) if hyper_parameters else ()


def _relative(source: Source, folder: str) -> str:
    """The config's path as seen from the checkpoint's folder: a run that moves as a whole keeps it."""
    path, up = source.path, ""
    for _ in range(3):
        if path.startswith(f"{folder}/"):
            return up + path[len(folder) + 1 :]
        folder, up = folder.rpartition("/")[0], f"{up}../"
    return path
