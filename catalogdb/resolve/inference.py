"""The last tier: what the checkpoint's header, its config and its names say, in this order of trust."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from catalogdb.config_facts import MODEL_PARAMETERS, ConfigFacts, is_known
from catalogdb.errors import ResolverError
from catalogdb.layouts import Monitor, Position
from catalogdb.layouts.base import above_checkpoints
from catalogdb.layouts.hugging_face import STATE
from catalogdb.layouts.lightning import is_before, rivals_among
from catalogdb.layouts.names import as_logged, counters, is_average, metrics_in, name_below
from catalogdb.records import (
    Candidate,
    CheckpointHeader,
    Finding,
    Origin,
    OriginRole,
    ParamGroup,
    Problem,
    Scalar,
    Scope,
    Source,
    Tier,
    Value,
)
from catalogdb.resolve.base import Hints
from catalogdb.resolve.beside import Beside
from catalogdb.resolve.config import ConfigParams, RunParams, read_config
from catalogdb.resolve.documents import PerSource
from catalogdb.resolve.embedded import EmbeddedResolver
from catalogdb.resolve.names import experiment, path_patterns
from catalogdb.resolve.own_score import callback_of, may_be_older, own_scores
from catalogdb.resolve.params import merge_params
from catalogdb.resolve.proven import proven_fields
from catalogdb.resolve.trust import agree, difference, disagreements

HYPER_PARAMETERS: Mapping[str, str] = {**MODEL_PARAMETERS, "max_epochs": "max_epochs"}
"""Keys of ``hyper_parameters`` that are fields of the row."""


@lru_cache(maxsize=8192)
def _origin(role: OriginRole, path: str, key: str, scope: Scope) -> Origin:
    return Origin("legacy", role, path, key, scope)


IN_NAME = _origin("name", "", "file name", "checkpoint")

LEVELS = 6
"""Folders above the checkpoint's own in which a file beside it may lie."""


class InferenceResolver:
    """Reads the config beside a checkpoint; everything else it needs is in the hints and the path."""

    def __init__(self) -> None:
        self._configs: PerSource[ConfigFacts] = PerSource(read_config)
        self._params = ConfigParams()
        self._beside = Beside()
        self._embedded = EmbeddedResolver()
        self._beside_config = RunParams(self._params)
        self._last: tuple[tuple[Source, ...], str, Finding] | None = None

    @property
    def name(self) -> Tier:
        return "legacy"

    def resolve(self, candidate: Candidate, *, wanted: Collection[str], hints: Hints) -> Finding | None:
        """Never fails as a whole: a broken config is a problem of the finding."""
        folder, _, file_name = candidate.path.rpartition("/")
        header = hints.header
        position, said_to_be, monitor = self._beside.place(candidate, header)
        fields: dict[str, Value] = {}
        metrics: dict[str, Value] = {}
        problems: list[Problem] = []
        params = _header_params(header.hyper_parameters)
        _from_position(header, position, fields)
        _from_header(header, candidate.link_target or candidate.path, fields, metrics)
        known: list[str] = []
        averaged = is_average(file_name) or is_average((candidate.link_target or "").rpartition("/")[2])
        if averaged:
            metrics = {}
        elif candidate.source("metrics") is not None:
            metrics = self._with_metric_files(candidate, header, position, fields, metrics, known, problems)
        if monitor is not None and "monitor" not in fields:
            _from_monitor(monitor, (*metrics, *known), fields)
        said = self._of_run(candidate, folder, problems)
        if said is not None:
            fields = _with_config(fields, said.fields)
            params = merge_params(params, said.params) if params else said.params
        _from_names(candidate, file_name, fields, wanted)
        states_metrics = file_name.count("=") + file_name.count(":") > len(counters(file_name))
        if states_metrics and not any(may_be_older(state, header) for state in header.monitors if state.monitor):
            metrics = _with_name(candidate, header, metrics, known, problems)
        if said_to_be:
            fields["claims"] = _claims(said_to_be, folder)
        return Finding(fields, metrics, params, tuple(problems))

    def _with_metric_files(
        self,
        candidate: Candidate,
        header: CheckpointHeader,
        position: Position,
        fields: dict[str, Value],
        metrics: dict[str, Value],
        known: list[str],
        problems: list[Problem],
    ) -> dict[str, Value]:
        """``metrics`` with what metrics files have on the very step. Where two files differ, neither counts: they are
        of two trainings. A row that differs from what the checkpoint states itself is another checkpoint's, and one of
        several versions has to have what it states."""
        folder = candidate.path.rpartition("/")[0]
        embedded = self._embedded.finding(candidate, header)
        own = metrics if embedded is None else {**metrics, **embedded.metrics}
        on_step: dict[str, Value] = {}
        twofold: dict[str, str] = {}
        rivals = rivals_among(source.path for source in candidate.sources if source.role == "metrics")
        for source, found in self._beside.metrics(candidate, position):
            if isinstance(found, Problem):
                problems.append(found)
                continue
            relative = _relative(source, folder)
            known.extend(found.names)
            for name, count in found.counters.items():
                fields.setdefault(name, Value(count, _origin("metrics", relative, name, "checkpoint")))
            row = {
                name: Value(number, _origin("metrics", relative, name, "checkpoint"))
                for name, number in found.row.items()
            }
            differing = disagreements(own, row)
            if source.path in rivals and (differing or own.keys().isdisjoint(row)):
                continue
            if differing:
                name = differing[0][0]
                reason = f"{difference(name, own[name], row[name])}, whose row is another checkpoint's"
                problems.append(Problem(candidate.path, "legacy", reason))
                continue
            for name, value in row.items():
                if not agree(on_step.setdefault(name, value), value):
                    twofold.setdefault(name, f"{difference(name, on_step[name], value)}; neither counts")
        for reason in twofold.values():
            problems.append(Problem(candidate.path, "legacy", reason))
        return metrics if twofold else {**metrics, **on_step}

    def _of_run(self, candidate: Candidate, folder: str, problems: list[Problem]) -> Finding | None:
        """What the config and the documents beside it say. Neighbours have the same: the last answer is kept."""
        sources = tuple([source for source in candidate.sources if source.role in ("config", "params")])
        if not sources:
            return None
        last = self._last
        if last is None or last[0] != sources or last[1] != folder:
            last = sources, folder, self._read_run(sources, folder)
            self._last = None if any(problem.passing for problem in last[2].problems) else last
        problems.extend(last[2].problems)
        return last[2]

    def _read_run(self, sources: Sequence[Source], folder: str) -> Finding:
        fields: dict[str, Value] = {}
        problems: list[Problem] = []
        params: tuple[ParamGroup, ...] = ()
        document: Mapping[str, object] = {}
        config = next((source for source in sources if source.role == "config"), None)
        if config is not None:
            relative = _relative(config, folder)
            try:
                facts = self._configs.get(config)
            except ResolverError as error:
                problems.append(Problem(config.path, "legacy", error.reason, error.retryable))
            else:
                document = facts.document
                params = self._params.groups(document, relative)
                for field, (value, key) in facts.fields.items():
                    fields[field] = Value(value, _origin("config", relative, key, "run"))
            fields["config_path"] = Value(config.path, _origin("config", relative, "", "run"))
        others = [(source, _relative(source, folder)) for source in sources if source.role == "params"]
        if others:
            first, rest, broken = self._beside_config.groups(others, document)
            params = merge_params(merge_params(first, params), rest)
            model = _model_type(rest)
            if model is not None:
                fields.setdefault("architecture", model)
            problems.extend(broken)
        return Finding(fields, params=params, problems=tuple(problems))


def _model_type(groups: Iterable[ParamGroup]) -> Value | None:
    """The architecture as a ``config.json`` of transformers names it (``transformers/configuration_utils.py``)."""
    for group in groups:
        named = group.values.get("model_type")
        if named is None or "transformers_version" not in group.values or not isinstance(named.value, str):
            continue
        if named.origin.path.rpartition("/")[2] == "config.json" and is_known(named.value):
            return named
    return None


def _from_position(header: CheckpointHeader, position: Position, fields: dict[str, Value]) -> None:
    """Counters as the layout reads them: in the header, else in the file's name."""
    if position.epoch is not None:
        stated = header.epoch is not None or "epoch" in header.scalars
        origin = _origin("header", "", position.key, "checkpoint") if stated else IN_NAME
        fields["epoch"] = Value(position.epoch, origin)
    if position.stated_epoch is not None and position.stated_epoch != position.epoch:
        stated = header.epoch is not None or "epoch" in header.scalars
        origin = _origin("header", "", position.key, "checkpoint") if stated else IN_NAME
        fields["stated_epoch"] = Value(float(position.stated_epoch), origin)
    if position.global_step is not None:
        origin = _origin("header", "", "global_step", "checkpoint") if header.global_step is not None else IN_NAME
        fields["global_step"] = Value(position.global_step, origin)


def _names_state(path: str, header: CheckpointHeader) -> bool:
    """Whether a name's counters are those of the header: if they aren't, it was given to another file.

    Lightning before 1.6 called a file by the epoch and the step that it had just done, and stated the next ones; loops
    of one's own may do so as well.
    """
    stated = {"epoch": header.epoch, "global_step": header.global_step}
    ahead = {(stated[field] or 0) - count for field, count in counters(path).items() if stated[field] is not None}
    older = header.framework_version is None or is_before(header.framework_version, 1, 6)
    return ahead <= {0} or (older and ahead == {1})


def _with_name(
    candidate: Candidate,
    header: CheckpointHeader,
    metrics: dict[str, Value],
    known: Iterable[str],
    problems: list[Problem],
) -> dict[str, Value]:
    """``metrics`` with those that the file's name states, if it is one that states counters as well: ``lr=0.1`` alone
    is no metric."""
    path = name_below(candidate.path)
    if not counters(path) or not _names_state(path, header):
        return metrics
    stated = {
        name: Value(value, _origin("name", "", text, "checkpoint"))
        for name, (value, text) in metrics_in(path, (*metrics, *known)).items()
    }
    problems.extend(_differences(candidate, metrics, stated))
    return {**stated, **metrics}


def _differences(candidate: Candidate, first: Mapping[str, Value], second: Mapping[str, Value]) -> Iterator[Problem]:
    for name, one, other in disagreements(first, second):
        yield Problem(candidate.path, "legacy", f"{difference(name, one, other)}; the first counts")


def _claims(said: Mapping[str, Source | None], folder: str) -> Value:
    """``best``, ``last``, or both; from the file beside it that says so, else from its name."""
    source = next((each for each in said.values() if each is not None), None)
    origin = IN_NAME if source is None else _origin("state", _relative(source, folder), "", "checkpoint")
    return Value(", ".join(said), origin)


def _from_header(header: CheckpointHeader, path: str, fields: dict[str, Value], metrics: dict[str, Value]) -> None:
    for key, field in HYPER_PARAMETERS.items():
        value = header.hyper_parameters.get(key)
        expected = int if field == "max_epochs" else str
        if isinstance(value, expected) and not isinstance(value, bool) and is_known(value):
            if isinstance(value, int) and value < 1:
                continue
            text = value.strip() if isinstance(value, str) else value
            fields[field] = Value(text, _origin("header", "", f"hyper_parameters.{key}", "checkpoint"))
    arch = header.scalars.get("arch")  # of timm, and of the loops that follow PyTorch's ImageNet example
    if isinstance(arch, str) and is_known(arch) and header.framework in (None, "timm"):
        fields.setdefault("architecture", Value(arch.strip(), _origin("header", "", "arch", "checkpoint")))
    if header.model is not None:
        for field, name in proven_fields(header.model, fields):
            fields[field] = Value(name, _origin("header", "", header.model.key, "checkpoint"))
    callback = callback_of(header, path)
    if callback is not None:
        key = "callbacks.ModelCheckpoint"
        fields["monitor"] = Value(callback.monitor, _origin("header", "", f"{key}.monitor", "checkpoint"))
        if callback.mode is not None:
            fields["monitor_mode"] = Value(callback.mode, _origin("header", "", f"{key}.mode", "checkpoint"))
    logged = header.framework == "transformers"  # the state has the whole log
    for name, metric in header.metrics.items():
        origin = ("metrics", STATE, name) if logged else ("header", "", _key_of(header, name))
        metrics[name] = Value(metric, _origin(*origin, "checkpoint"))
    for name, score in own_scores(header, path).items():
        metrics[name] = Value(score, _origin("header", "", "callbacks.ModelCheckpoint.best_k_models", "checkpoint"))


def _key_of(header: CheckpointHeader, name: str) -> str:
    """Where a metric that the file states of itself stands in it."""
    if name.startswith("cleval/"):
        return name.replace("/", "_metrics.", 1)
    return name if header.framework is not None or name in header.scalars else f"metrics.{name}"


def _from_monitor(monitor: Monitor, known: Collection[str], fields: dict[str, Value]) -> None:
    """What a layout says that the best was chosen by, under the name that training logged."""
    origin = IN_NAME if monitor.key == IN_NAME.key else _origin("header", "", monitor.key, "checkpoint")
    fields["monitor"] = Value(as_logged(monitor.metric, known), origin)
    if monitor.mode is not None:
        fields["monitor_mode"] = Value(monitor.mode, origin)


def _with_config(fields: dict[str, Value], said: Mapping[str, Value]) -> dict[str, Value]:
    """What the header says counts more. A mode is that of the config's own monitor."""
    both = {**said, **fields}
    other = "monitor" in fields and ("monitor" not in said or fields["monitor"].value != said["monitor"].value)
    if other and "monitor_mode" not in fields:
        both.pop("monitor_mode", None)
    return both


def _from_names(candidate: Candidate, file_name: str, fields: dict[str, Value], wanted: Collection[str]) -> None:
    for field, number in counters(file_name).items():
        fields.setdefault(field, Value(number, IN_NAME))
    if any(field in wanted and field not in fields for field in ("architecture", "backbone")):
        for field, text in path_patterns(_of_its_run(candidate)[len(candidate.root) + 1 :]).items():
            fields.setdefault(field, Value(text, _origin("name", "", "path", "run")))
    exp_name = experiment(_of_its_run(candidate), candidate.root) if "exp_name" in wanted else None
    if exp_name is not None:
        fields.setdefault("exp_name", Value(exp_name, _origin("name", "", "path", "run")))


def _of_its_run(candidate: Candidate) -> str:
    """The path whose folders say which run it is of: for a symbolic link in another run, the path that it leads to."""
    path, target = candidate.path, candidate.link_target
    if target is None or not target.startswith(f"{candidate.root}/"):
        return path
    same = above_checkpoints(target.rpartition("/")[0]) == above_checkpoints(path.rpartition("/")[0])
    return target if not same and Path(path).is_symlink() else path


def _header_params(hyper_parameters: Mapping[str, Scalar]) -> tuple[ParamGroup, ...]:
    params = {
        name: Value(value, _origin("header", "", f"hyper_parameters.{name}", "checkpoint"))
        for name, value in hyper_parameters.items()
    }
    return (ParamGroup(params),) if params else ()


def _relative(source: Source, folder: str) -> str:
    """A file's path as seen from the checkpoint's folder: a run that moves as a whole keeps it."""
    path, up = source.path, ""
    for _ in range(LEVELS):
        if path.startswith(f"{folder}/"):
            return up + path[len(folder) + 1 :]
        folder, up = folder.rpartition("/")[0], f"{up}../"
    return path
