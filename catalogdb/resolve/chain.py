"""The policy: which tier is asked when, whose value counts, and what happens to a value whose tier can't be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from catalogdb.errors import ResolverError
from catalogdb.headlines import HEADLINES
from catalogdb.records import (
    DRIFT,
    FIELD_NAMES,
    Candidate,
    CheckpointHeader,
    Finding,
    Origin,
    ParamGroup,
    Problem,
    Resolution,
    State,
    Tier,
    Value,
)
from catalogdb.resolve.base import Hints, Resolver
from catalogdb.resolve.headline import headline_fields
from catalogdb.resolve.params import merge_params
from catalogdb.resolve.trust import COMPARED, COUNTERS, difference, disagreements, prefer, rank, states_itself


@dataclass(frozen=True, slots=True)
class Answer:
    """How one tier ended: found (a finding), absent (neither), or failed (an error)."""

    tier: Tier
    finding: Finding | None = None
    error: ResolverError | None = None


class ResolverChain:
    """Asks the tiers in order, and merges what they say per field, metric and parameter (``resolve/trust.py``)."""

    def __init__(self, resolvers: Sequence[Resolver]) -> None:
        self._resolvers = tuple(resolvers)

    def ask(self, candidate: Candidate, header: CheckpointHeader) -> tuple[Answer, ...]:
        """The tiers' answers. Reads files; safe to call from several threads."""
        return self.ask_all([(candidate, header)])[0]

    def ask_all(self, asked: Sequence[tuple[Candidate, CheckpointHeader]]) -> list[tuple[Answer, ...]]:
        """The same for several, in order: each tier is asked about all of them before the next one.

        So a tier's code and what it looks up stay in the processor's caches: a sixth less time than one by one.
        """
        answers: list[list[Answer]] = [[] for _ in asked]
        wanted = [set(FIELD_NAMES) for _ in asked]
        for resolver in self._resolvers:
            for (candidate, header), given, still in zip(asked, answers, wanted, strict=True):
                try:
                    finding = resolver.resolve(candidate, wanted=still, hints=Hints(header))
                except ResolverError as error:
                    given.append(Answer(resolver.name, error=error))
                else:
                    given.append(Answer(resolver.name, finding))
                    if finding is not None:
                        still.difference_update(finding.fields)
        return [tuple(given) for given in answers]


def merge(
    candidate: Candidate,
    header: CheckpointHeader,
    state: State,
    answers: Sequence[Answer],
    earlier: Callable[[Tier], Finding | None] = lambda tier: None,
) -> Resolution:
    """One resolution out of the tiers' answers. Two values of one thing that differ beyond rounding are a problem.

    ``earlier`` gives what a tier said before about the same content of the file; it stands in for a tier that
    failed. A tier that is absent has withdrawn what it said.
    """
    fields: dict[str, Value] = {}
    metrics: dict[str, Value] = {}
    params: list[tuple[ParamGroup, ...]] = []
    problems: list[Problem] = []
    if header.reason:
        problems.append(Problem(candidate.path, None, header.reason))
    failed: set[Tier] = set()
    carrier: Tier | None = None
    for answer in answers:
        finding = answer.finding
        if answer.error is not None:
            failed.add(answer.tier)
            problems.append(Problem(answer.error.path, answer.tier, answer.error.reason))
            finding = earlier(answer.tier)
        if finding is None:
            continue
        problems.extend(finding.problems)
        if carrier is None and (finding.fields or finding.metrics):
            carrier = answer.tier
        _count_alike(fields, finding.fields)
        if fields or metrics:
            problems.extend(_differences(candidate, fields, metrics, finding))
        in_order = len(params) < 2 and carrier == "yaml"  # nothing counts more than the first tier
        fields = prefer(fields, finding.fields, same_order=in_order) if fields else dict(finding.fields)
        _keep_own_counters(fields, finding.fields)
        metrics = prefer(metrics, finding.metrics, same_order=in_order) if metrics else dict(finding.metrics)
        params.append(finding.params)
    fields.update(headline_fields(metrics, known=fields.keys()))
    _drop_foreign_mode(fields, answers)
    return Resolution(
        candidate=candidate,
        state=state,
        format=header.format,
        source=carrier or "legacy",
        fields=fields,
        metrics=metrics,
        params=_merged(params),
        weights=header.weights,
        problems=tuple(problems),
        failed=frozenset(failed),
        recheck=state == "writing"
        or any(answer.error is not None and answer.error.retryable for answer in answers)
        or any(problem.passing for problem in problems),
    )


def complete(
    known: Resolution,
    finding: Finding | None,
    *,
    failed: bool = False,
    again: bool = False,
    again_at: str | None = None,
) -> Resolution:
    """A resolution together with what W&B says, which is asked for many checkpoints at once, after all other tiers.

    ``failed``: it could not be asked, and ``finding`` is what it said before; ``again`` and ``again_at`` are when to
    look at the checkpoint once more.
    """
    changes: dict[str, Any] = {
        "failed": known.failed | {"wandb"} if failed else known.failed,
        "recheck": known.recheck or again,
        "recheck_at": again_at,
    }
    if finding is None:
        return replace(known, **changes)
    metrics = prefer(known.metrics, finding.metrics)
    told = {
        field: value
        for field, value in known.fields.items()
        if field not in HEADLINES or value not in _headlines_of(known.metrics, field)
    }
    fields = prefer(told, finding.fields)
    fields.update(headline_fields(metrics, known=fields.keys()))
    _drop_mode_without_monitor(fields, known.fields, finding.fields)
    problems = [*known.problems, *finding.problems]
    problems.extend(_differences(known.candidate, known.fields, known.metrics, finding))
    said = bool(finding.fields or finding.metrics)
    return replace(
        known,
        source="wandb" if known.source == "legacy" and said else known.source,
        fields=fields,
        metrics=metrics,
        params=_merged([known.params, finding.params]),
        problems=tuple(problems),
        **changes,
    )


def _headlines_of(metrics: Mapping[str, Value], field: str) -> list[Value]:
    """What a headline field may have been taken from: it is taken anew where there are more metrics."""
    return [metrics[name] for name in HEADLINES[field] if name in metrics]


def _drop_mode_without_monitor(fields: dict[str, Value], *said: Mapping[str, Value]) -> None:
    """A mode is that of the monitor beside it: one that was said of another monitor is dropped."""
    monitor, mode = fields.get("monitor"), fields.get("monitor_mode")
    if monitor is None or mode is None:
        return
    for each in said:
        if each.get("monitor_mode") == mode and "monitor" in each and each["monitor"].value == monitor.value:
            return
    del fields["monitor_mode"]


def _differences(
    candidate: Candidate, fields: Mapping[str, Value], metrics: Mapping[str, Value], finding: Finding
) -> Iterator[Problem]:
    said = finding.fields
    differing = {
        name: fields[name]
        for name in COMPARED
        if name in fields and name in said and fields[name].value != said[name].value
    }
    found = disagreements(differing, said) if differing else []
    if metrics and finding.metrics:
        found += disagreements(metrics, finding.metrics)
    for name, one, other in found:
        drift = DRIFT if "sidecar" in (one.origin.role, other.origin.role) else ""
        yield Problem(candidate.path, other.origin.tier, f"{drift}{difference(name, one, other)}; the first counts")


def _count_alike(fields: dict[str, Value], said: Mapping[str, Value]) -> None:
    """An epoch that is counted as the file itself counts is the file's."""
    own, stated, counted = said.get("epoch"), said.get("stated_epoch"), fields.get("epoch")
    if own is not None and stated is not None and counted is not None and counted.value == stated.value:
        fields["epoch"] = own


def _keep_own_counters(fields: dict[str, Value], said: Mapping[str, Value]) -> None:
    """A sidecar of the very step may count epochs from another number: the file's own epoch stands in the row."""
    for name in COUNTERS:
        own, counted = said.get(name), fields.get(name)
        if own is None or counted is None or own.value == counted.value:
            continue
        if counted.origin.role == "sidecar" and states_itself(name, own):
            fields[name] = own


def _merged(params: Sequence[tuple[ParamGroup, ...]]) -> tuple[ParamGroup, ...]:
    """The sidecar's count first, then those of the checkpoint itself, then those of its run."""
    given = [groups for groups in params if groups]
    if len(given) > 1 and any(_origin_of(groups[0]).tier == "wandb" for groups in given):
        ranked = sorted((group for groups in given for group in groups), key=lambda group: rank(_origin_of(group)))
        given = [(group,) for group in ranked]
    return reduce(merge_params, given) if given else ()


def _origin_of(group: ParamGroup) -> Origin:
    """That of its first parameter: in what counts, all have the same."""
    return group.values.shape.origins[0]


def _drop_foreign_mode(fields: dict[str, Value], answers: Sequence[Answer]) -> None:
    """A mode means nothing without its monitor: one from a tier that monitors something else is dropped."""
    monitor, mode = fields.get("monitor"), fields.get("monitor_mode")
    if monitor is None or mode is None or monitor.origin.tier == mode.origin.tier:
        return
    said: Mapping[str, Value] = next(
        (answer.finding.fields for answer in answers if answer.tier == mode.origin.tier and answer.finding), {}
    )
    if "monitor" not in said or said["monitor"].value != monitor.value:
        del fields["monitor_mode"]
