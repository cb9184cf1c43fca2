"""From a run and a checkpoint's question to what W&B knows about that checkpoint.

What was logged by the validation before the file's save is the file's; all else is the run's. Never by W&B's
``_step``, which counts calls of ``log`` and meets other epochs' rows by accident.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from catalogdb.config_facts import MODEL_PARAMETERS, config_facts, is_known
from catalogdb.records import (
    CachedRun,
    Finding,
    HistoryNeed,
    HistoryRow,
    Origin,
    ParamGroup,
    Problem,
    RunQuestion,
    RunRef,
    Scope,
    Shape,
    Value,
    Values,
)
from catalogdb.resolve.params import flatten
from catalogdb.resolve.wandb.local_run import LAST_LOGGED
from catalogdb.resolve.wandb.metrics import as_number, as_step, numbers_of, validation_key
from catalogdb.resolve.wandb.reference import CONFIRMING
from catalogdb.resolve.wandb.run_file import AXIS
from catalogdb.timestamps import iso_of_seconds

EXTREMES = frozenset({"best", "max", "min"})
"""Words in the names of values that are of the run by their nature."""

WORD = re.compile(r"[a-z]+")

SAME = 1e-6
"""Scores pass through 32 bits."""

WHOLE = ("finished", "failed")
"""States of runs that ended by themselves: nothing that they logged is missing."""


def needs_of(question: RunQuestion, run: CachedRun | None = None) -> tuple[HistoryNeed, ...]:
    """The rows a checkpoint needs. Without a monitor the run's validation key counts: an empty key until it's known."""
    if question.at is None:
        return ()
    keys = list(dict.fromkeys(score.monitor for score in question.scores))
    if not keys:
        own = validation_key(run.summary) if run is not None else ""
        keys = [own] if own is not None else []
    return tuple(HistoryNeed(key, question.at) for key in keys)


@dataclass(frozen=True, slots=True)
class Joined:
    """``row`` is the history row that is taken, ``exact`` whether it's the one of this file's save.

    ``refused`` says why the row at that step is another file's; ``unsure`` are names that rows of other trainings, as
    likely the checkpoint's, have another value of, or none.
    """

    row: HistoryRow | None = None
    exact: bool = False
    agreed: bool = False
    refused: str | None = None
    unsure: frozenset[str] = frozenset()


def join(question: RunQuestion, run: CachedRun) -> Joined:
    """The row of the validation before the save, checked by epoch and by the monitored score."""
    best = Joined()
    reached = as_step(run.summary.get(AXIS))
    for need in needs_of(question, run):
        rows = run.history.get(need) or ()
        if run.state not in WHOLE and (reached is None or reached <= need.at):
            rows = tuple(row for row in rows if row.at == need.at)  # what it logged since may not have come here
        one = _together([_judge(question, need, row) for row in rows])
        if one.exact and one.row is not None:
            return one
        if best.row is None and (one.row is not None or best.refused is None):
            best = one
    return best


def _together(judged: Sequence[Joined]) -> Joined:
    """What rows of one step say alike: those that agree with the checkpoint, else all that don't contradict it."""
    taken = [one for one in judged if one.row is not None]
    taken = [one for one in taken if one.agreed] or taken
    if len(taken) < 2:
        return next(iter(taken or judged), Joined())
    first, *others = [one.row for one in taken if one.row is not None]
    alike = {
        name: value
        for name, value in first.values.items()
        if all(name in row.values and row.values[name] == value for row in others)
    }
    named = {name for row in (first, *others) for name, _ in numbers_of(row.values)}
    unsure = frozenset(named - dict(numbers_of(alike)).keys())
    return replace(taken[0], row=first._replace(values=alike), unsure=unsure)


def may_follow(question: RunQuestion, run: CachedRun, joined: Joined) -> bool:
    """Whether the row of the save may come yet: W&B writes its log in blocks, some seconds after what was logged."""
    if run.key.folder is None or run.state != "running" or question.at is None or joined.exact:
        return False
    reached = as_step(run.summary.get(AXIS))
    return reached is None or reached <= question.at


def _judge(question: RunQuestion, need: HistoryNeed, row: HistoryRow) -> Joined:
    exact = row.at == need.at
    epoch = as_step(row.values.get("epoch"))
    if exact and None not in (epoch, question.epoch) and epoch != question.epoch:
        return Joined(refused=f"W&B's row at {AXIS} {row.at} is of epoch {epoch}, the checkpoint of {question.epoch}")
    if not exact and epoch is not None and question.epoch is not None and epoch > question.epoch:
        return Joined(refused=f"W&B's last row before {AXIS} {need.at} is of epoch {epoch}, a later one")
    agreed = False
    for score in question.scores:
        value = as_number(_at(row.values, score.monitor))
        if value is None:
            continue
        if exact and score.own is not None and not same(value, score.own):
            return Joined(
                refused=f"W&B's row at {AXIS} {row.at} has {score.monitor} {value:.6g}, the checkpoint {score.own:.6g}"
            )
        agreed = agreed or any(known is not None and same(value, known) for known in (score.own, score.last))
    if not question.sure and not (agreed or (exact and epoch is not None and epoch == question.epoch)):
        return Joined()
    return Joined(row, exact, agreed)


def same(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return False
    return math.isclose(one, other, rel_tol=SAME, abs_tol=SAME)


def confirms(question: RunQuestion, run: CachedRun, joined: Joined) -> bool:
    """Whether a run that was guessed at is the checkpoint's: by a score that tells, or by its parameters."""
    if joined.refused is not None:
        return False
    if agrees_by_score(question, joined):
        return True
    stated = dict(flatten(_plain_config(run.config)))
    common = [name for name in question.params if name in stated]
    agreeing = [name for name in common if _equal(question.params[name], stated[name])]
    return len(agreeing) >= CONFIRMING and len(agreeing) == len(common)


def agrees_by_score(question: RunQuestion, joined: Joined) -> bool:
    """Whether the row has a score of the checkpoint that tells one run from another."""
    if joined.row is None or not joined.agreed:
        return False
    values = [as_number(_at(joined.row.values, score.monitor)) for score in question.scores]
    return any(value is not None and value not in (0.0, 1.0) and math.isfinite(value) for value in values)


def _equal(one: Any, other: Any) -> bool:
    first, second = as_number(one), as_number(other)
    if first is not None and second is not None:
        return first == second or same(first, second)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


class RunKnowledge:
    """What a run says of all its checkpoints: made once for each run, shared by their findings."""

    def __init__(self, run: CachedRun) -> None:
        self.run = run
        self.path = run.key.path
        config = _plain_config(run.config)
        origin = Origin("wandb", "wandb", self.path, "config", "run")
        self.fields = {
            field: Value(value, origin._replace(key=f"config.{key}"))
            for field, (value, key) in config_facts(config).fields.items()
            if field != "wandb_run_id"
        }
        for key, field in MODEL_PARAMETERS.items():
            name = config.get(key)
            if isinstance(name, str) and is_known(name):
                self.fields.setdefault(field, Value(name.strip(), origin._replace(key=f"config.{key}")))
        params = dict(flatten(config))
        shape = Shape(tuple(params), (origin,) * len(params))
        self.params = (ParamGroup(Values(shape, tuple(params.values()))),) if params else ()
        self.summary = dict(numbers_of(run.summary))
        self._own = frozenset(_of_the_last_step(self.summary, run.attributes.get(LAST_LOGGED)))
        self._ended = run.state not in (None, "running", "pending", "preempting")

    def finding(self, question: RunQuestion, ref: RunRef, joined: Joined, path: str) -> Finding:
        metrics: dict[str, Value] = {}
        fields = dict(self.fields)
        fields["wandb_run_id"] = Value(self.path, self._origin(f"id from the {ref.source}", "run"))
        row = joined.row
        if row is not None:
            place = f"history, {AXIS} {row.at}"
            if not joined.exact:
                place += f", the last before {question.at}"
            origin = self._origin(place, "checkpoint" if joined.exact else "run")
            metrics = {name: Value(number, origin) for name, number in numbers_of(row.values)}
            saved_at = _moment(row.values.get("_timestamp")) if joined.exact else None
            if saved_at is not None:
                fields["created_at"] = Value(saved_at, origin)
        of_run = self._origin("summary", "run")
        own = self._own if self.is_last(question, joined) else frozenset()
        of_file = self._origin("summary", "checkpoint")
        metrics.update(
            (name, Value(number, of_file if name in own else of_run))
            for name, number in self.summary.items()
            if name not in metrics and name not in joined.unsure
        )
        problems = (Problem(path, "wandb", f"{joined.refused}; its metrics are not used"),) if joined.refused else ()
        return Finding(fields, metrics, self.params, problems)

    def is_last(self, question: RunQuestion, joined: Joined) -> bool:
        """Whether the checkpoint is the run's last step, so that the summary is about it."""
        row, summary = joined.row, self.run.summary
        if not self._ended or joined.refused is not None or (row is not None and not joined.exact):
            return False
        epoch, at = as_step(summary.get("epoch")), as_step(summary.get(AXIS))
        if row is not None:
            others = [name for name, value in numbers_of(row.values) if self.summary.get(name, value) != value]
            return at == row.at and not joined.unsure and not others  # another training may have gone over the step
        if question.at is not None and at == question.at:
            same_epoch = epoch == question.epoch or (epoch is None and question.sure)
        else:
            stated = question.step is not None and question.epoch is not None
            same_epoch = stated and (question.step, question.epoch) == (as_step(summary.get("global_step")), epoch)
        return same_epoch and not any(
            score.own is not None and value is not None and not same(value, score.own)
            for score in question.scores
            for value in [as_number(_at(summary, score.monitor))]
        )

    def _origin(self, key: str, scope: Scope) -> Origin:
        return Origin("wandb", "wandb", self.path, key, scope)


def _of_the_last_step(summary: Mapping[str, float], logged: Mapping[str, Any] | None) -> Iterator[str]:
    """Names in a summary that were logged with the run's last step, as far as its history is at hand (``logged``).

    Others were set by hand, or are aggregates (``define_metric``), or values of an earlier step.
    """
    last = None if logged is None else dict(numbers_of(logged))
    for name, number in summary.items():
        if last is None:
            if EXTREMES.isdisjoint(WORD.findall(name.lower())):
                yield name
        elif name in last and (last[name] == number or math.isnan(last[name])):
            yield name


def _plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "_wandb"}


def _at(values: Mapping[str, Any], name: str) -> Any:
    """A metric of a row, flat or nested by its dots."""
    if name in values:
        return values[name]
    return next((number for dotted, number in _dotted(values) if dotted == name), None)


def _dotted(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    return numbers_of({name: value for name, value in values.items() if isinstance(value, dict)})


def _moment(timestamp: Any) -> str | None:
    """``_timestamp``: seconds since 1970, when the row was logged."""
    seconds = as_number(timestamp)
    return None if seconds is None else iso_of_seconds(seconds)
