"""Many runs of one project in one question, and the history rows that their checkpoints need in a second one, unless
they could be guessed.

``name`` is a run's id. ``sampledHistory`` gives rows of the asked keys alone, evenly spaced where there are more than
``samples``: it serves to find a row's W&B step, and only as long as it holds all rows. The row itself then comes from
``history`` over the range of that one step, which is never sampled. Fields after the SDK's published operations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalogdb.records import HistoryNeed, HistoryRow
from catalogdb.resolve.wandb.answers import items, mapping, text_object
from catalogdb.resolve.wandb.client import ApiError, Client, TooMuch
from catalogdb.resolve.wandb.likely import LikelySteps, fields_of, rows_in
from catalogdb.resolve.wandb.metrics import as_step, validation_key
from catalogdb.resolve.wandb.rows import RowQuestions
from catalogdb.resolve.wandb.run_file import AXIS

MAX_IDS = 500
"""Runs in one question."""

SAMPLES = 10_000
"""Rows of one key: a run has one for each validation."""

FEW = 500
"""Rows that any server gives without sampling: W&B's own default of ``samples``."""

MAX_KEYS = 8
MAX_PAGES = 100
MAX_NARROWINGS = 4

RUN_FIELDS = (
    "name displayName state config summaryMetrics historyLineCount tags group jobType sweepName createdAt heartbeatAt"
)
RUNS = """
query CatalogRuns($entity: String, $project: String!, $filters: JSONString, $first: Int, $after: String,
                  $specs: [JSONString!]!) {
  project(name: $project, entityName: $entity) {
    runs(filters: $filters, first: $first, after: $after) {
      edges { node { FIELDS } }
      pageInfo { endCursor hasNextPage }
    }
  }
}
"""
VIEWER = "query CatalogViewer { viewer { entity } }"


@dataclass(frozen=True, slots=True)
class FetchedRun:
    """A run as the server describes it."""

    run_id: str
    state: str | None
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    attributes: Mapping[str, Any]
    history: Mapping[HistoryNeed, tuple[HistoryRow, ...]]


@dataclass(frozen=True, slots=True)
class _Found:
    """The place of a row that answers a need, or of several of one trainer's step."""

    at: int
    steps: tuple[int, ...]


def default_entity(client: Client) -> str | None:
    viewer = client.post(VIEWER, {}).get("viewer")
    entity = viewer.get("entity") if isinstance(viewer, dict) else None
    return entity if isinstance(entity, str) and entity else None


def fetch_runs(
    client: Client, likely: LikelySteps, entity: str, project: str, needs: Mapping[str, Sequence[HistoryNeed]]
) -> dict[str, FetchedRun]:
    """The runs of a project by id, as far as it has them, with the rows they need. ``needs`` maps ids to needs,
    ``likely`` is what was learned of the project before.

    A need with an empty key means the run's own validation key. Raises ApiError, ServerDown among them.
    """
    found: dict[str, FetchedRun] = {}
    ids = sorted(needs)
    for start in range(0, len(ids), MAX_IDS):
        some = ids[start : start + MAX_IDS]
        found.update(_fetch(client, likely, entity, project, {run_id: needs[run_id] for run_id in some}))
    return found


def _fetch(
    client: Client, likely: LikelySteps, entity: str, project: str, needs: Mapping[str, Sequence[HistoryNeed]]
) -> dict[str, FetchedRun]:
    """Halves a question that the server, or our own bound, finds too big."""
    guessed = likely.now()
    try:
        nodes, keys = _list_runs(client, entity, project, needs, guessed)
    except TooMuch:
        if len(needs) == 1:
            raise
        ids = list(needs)
        halves = ids[: len(ids) // 2], ids[len(ids) // 2 :]
        return {
            run_id: run
            for half in halves
            for run_id, run in _fetch(
                client, likely, entity, project, {run_id: needs[run_id] for run_id in half}
            ).items()
        }
    runs = {run_id: _Run(run_id, node, keys, needs[run_id]) for run_id, node in nodes.items()}
    questions = RowQuestions(client, entity, project)
    _complete(questions, runs)
    wanted = {run_id: run.steps() for run_id, run in runs.items()}
    likely.learn(wanted.values())
    there = {run_id: rows_in(nodes[run_id], guessed) for run_id in runs}
    rows = questions.rows({run_id: steps - there[run_id].keys() for run_id, steps in wanted.items()})
    return {run_id: run.fetched({**there[run_id], **rows.get(run_id, {})}) for run_id, run in runs.items()}


def _list_runs(
    client: Client, entity: str, project: str, needs: Mapping[str, Sequence[HistoryNeed]], steps: Sequence[int]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    keys = sorted({need.key for some in needs.values() for need in some if need.key})[:MAX_KEYS]
    variables: dict[str, Any] = {
        "entity": entity,
        "project": project,
        "filters": json.dumps({"name": {"$in": list(needs)}}),
        "specs": [_spec(key) for key in keys],
        "first": len(needs),
    }
    query = RUNS.replace("FIELDS", f"{RUN_FIELDS} sampledHistory(specs: $specs) {fields_of(steps)}")
    nodes: dict[str, dict[str, Any]] = {}
    cursors: set[str] = set()
    for _ in range(MAX_PAGES):
        page = client.post(query, variables).get("project")
        if page is None:
            break
        runs = mapping(mapping(page).get("runs"))
        for edge in items(runs.get("edges")):
            node = mapping(mapping(edge).get("node"))
            run_id = node.get("name")
            if isinstance(run_id, str) and run_id in needs:
                nodes.setdefault(run_id, dict(node))
        info = mapping(runs.get("pageInfo"))
        cursor = info.get("endCursor")
        if len(nodes) == len(needs) or not info.get("hasNextPage") or not isinstance(cursor, str) or cursor in cursors:
            break
        cursors.add(cursor)
        variables["after"] = cursor
    return nodes, keys


def _spec(key: str, low: int | None = None, high: int | None = None) -> str:
    """Of rows that have ``key`` and the trainer's step; ``high`` is inclusive."""
    spec: dict[str, Any] = {"keys": ["_step", AXIS, key], "samples": SAMPLES}
    if low is not None:
        spec["minStep"] = low
    if high is not None:
        spec["maxStep"] = high
    return json.dumps(spec)


class _Run:
    """One run while its rows are looked for."""

    def __init__(self, run_id: str, node: Mapping[str, Any], keys: Sequence[str], needs: Sequence[HistoryNeed]) -> None:
        self.run_id = run_id
        self._node = node
        self.config = unwrapped(text_object(node.get("config")))
        self.summary = text_object(node.get("summaryMetrics"))
        own_key = validation_key(self.summary) if any(not need.key for need in needs) else None
        self.needs = {need: need if need.key else HistoryNeed(own_key or "", need.at) for need in needs}
        self.found: dict[HistoryNeed, _Found | None] = {}
        self.open: dict[str, tuple[int | None, int | None]] = {}
        samples = items(node.get("sampledHistory"))
        told = dict(zip(keys, samples, strict=False))
        for key in {need.key for need in self.needs.values() if need.key}:
            if key in told:
                self.take(key, items(told[key]))
            elif _has(self.summary, key):
                self.open[key] = (None, None)

    def take(self, key: str, rows: Sequence[Any]) -> None:
        """Answers the needs of ``key`` out of all rows that have it, or says where to look closer."""
        bounds = self.open.pop(key, None)
        whole = bounds if bounds != (None, None) else None
        places = sorted(_places(rows))
        mine = [need for need in self.needs.values() if need.key == key]
        if len(rows) < SAMPLES:
            for need in mine:
                self.found[need] = _last(places, need.at)
            closer = [need for need in mine if not _exact(self.found[need], need)]
            if whole is not None or len(rows) < FEW or not closer:
                return
            mine = closer  # a server may sample more than it was asked to: only what it has on both sides is sure
        low = min((_step_below(places, need.at) for need in mine), default=0)
        high = max((_step_above(places, need.at) for need in mine), default=None, key=_endless)
        self.open[key] = (low, high)

    def steps(self) -> set[int]:
        return {step for found in self.found.values() if found is not None for step in found.steps}

    def fetched(self, rows: Mapping[int, Mapping[str, Any]]) -> FetchedRun:
        history: dict[HistoryNeed, tuple[HistoryRow, ...]] = {}
        for need in self.needs.values():
            if not need.key or (need not in self.found and _has(self.summary, need.key)):
                continue  # it has rows that couldn't be told apart: not the same as having none
            found = self.found.get(need)
            steps = found.steps if found is not None else ()
            answer = tuple(HistoryRow(step, found.at, rows[step]) for step in steps if found and step in rows)
            if len(answer) == len(steps):
                history[need] = answer
        node = self._node
        names = {
            "display_name": "displayName",
            "group": "group",
            "job_type": "jobType",
            "sweep": "sweepName",
            "tags": "tags",
            "created_at": "createdAt",
            "heartbeat_at": "heartbeatAt",
            "history_lines": "historyLineCount",
        }
        attributes = {name: node[key] for name, key in names.items() if node.get(key) not in (None, "", [])}
        state = node.get("state")
        return FetchedRun(
            self.run_id, state if isinstance(state, str) else None, self.config, self.summary, attributes, history
        )


def _complete(questions: RowQuestions, runs: Mapping[str, _Run]) -> None:
    """Asks for what the first question left open: keys that it didn't name, and rows that were sampled."""
    for _ in range(MAX_NARROWINGS):
        asked = [(run, key, run.open[key]) for run in runs.values() for key in run.open]
        if not asked:
            return
        fields = [
            (run.run_id, f"sampledHistory(specs: [{json.dumps(_spec(key, *bounds))}])") for run, key, bounds in asked
        ]
        for (run, key, _), answer in zip(asked, list(questions.fields(fields)), strict=True):
            lists = items(answer)
            run.take(key, items(lists[0]) if lists else [])


def unwrapped(config: Mapping[str, Any]) -> dict[str, Any]:
    """``{"lr": {"desc": null, "value": 0.1}}`` → ``{"lr": 0.1}``."""
    return {
        key: entry["value"] if isinstance(entry, dict) and "value" in entry else entry for key, entry in config.items()
    }


def _has(summary: Mapping[str, Any], key: str) -> bool:
    """Whether a run has logged ``key``: the summary keeps the last value of everything, nested by its parts."""
    if key in summary:
        return True
    value: Any = summary
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _places(rows: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """(the trainer's step, W&B's step) of each row."""
    for row in rows:
        values = row if isinstance(row, dict) else text_object(row)
        at, step = as_step(values.get(AXIS)), as_step(values.get("_step"))
        if at is not None and step is not None:
            yield at, step


def _last(places: Sequence[tuple[int, int]], at: int) -> _Found | None:
    reached = [place for place in places if place[0] <= at]
    if not reached:
        return None
    last = reached[-1][0]
    return _Found(last, tuple(step for place, step in reached if place == last))


def _exact(found: _Found | None, need: HistoryNeed) -> bool:
    return found is not None and found.at == need.at


def _step_below(places: Sequence[tuple[int, int]], at: int) -> int:
    """W&B's step of the last sampled row before ``at``: what is looked for isn't earlier."""
    return max((step for place, step in places if place < at), default=0)


def _step_above(places: Sequence[tuple[int, int]], at: int) -> int | None:
    return min((step for place, step in places if place > at), default=None)


def _endless(step: int | None) -> float:
    return float("inf") if step is None else step


__all__ = ["ApiError", "FetchedRun", "default_entity", "fetch_runs", "unwrapped"]
