"""Fields of many runs in one question: history rows above all, each by the W&B step that it is known to have.

A step that many runs need, as those of a sweep do, is asked of a list of runs. To a server that is one short question
however many they are; an alias for each run took a stand-in server eight times as long, most of it to check the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from catalogdb.resolve.wandb.answers import items, mapping, text_object
from catalogdb.resolve.wandb.client import Client
from catalogdb.resolve.wandb.metrics import as_step

MAX_ROWS = 1000
"""History rows, or other fields of runs, in one question."""

MANY = 10
"""Runs from which on a step is asked of a list of them."""

Rows = dict[str, dict[int, Mapping[str, Any]]]
"""By the run's id and W&B's step."""


class RowQuestions:
    """Asks about runs of one project. Raises ApiError, ServerDown among them."""

    def __init__(self, client: Client, entity: str, project: str) -> None:
        self._client = client
        self._place = {"entity": entity, "project": project}

    def rows(self, wanted: Mapping[str, set[int]]) -> Rows:
        """The rows, as far as the runs have them, at the steps that are wanted of each run."""
        found: Rows = {}
        asked = [(run_id, step) for run_id, steps in wanted.items() for step in sorted(steps)]
        answered = self._ask_rows(asked, found, many=MANY)
        unlisted = [place for place in asked if place not in answered]  # the server's pages are shorter
        self._ask_rows(unlisted, found, many=len(unlisted) + 1)
        return found

    def fields(self, fields: Sequence[tuple[str, str]]) -> Iterator[Any]:
        """What runs have in a field each: (run's id, field with its arguments)."""
        for start in range(0, len(fields), MAX_ROWS):
            some = fields[start : start + MAX_ROWS]
            answer = self._ask(_aliased(some), {})
            yield from _unaliased(some, answer)

    def _ask_rows(self, asked: Sequence[tuple[str, int]], found: Rows, *, many: int) -> set[tuple[str, int]]:
        """Adds the rows to ``found``; returns which of the ``asked`` were answered."""
        answered: set[tuple[str, int]] = set()
        for start in range(0, len(asked), MAX_ROWS):
            some = asked[start : start + MAX_ROWS]
            by_step: dict[int, list[str]] = {}
            for run_id, step in some:
                by_step.setdefault(step, []).append(run_id)
            listed = {step: ids for step, ids in by_step.items() if len(ids) >= many}
            single = [(run_id, step) for run_id, step in some if step not in listed]
            fields = [(run_id, history(step)) for run_id, step in single]
            lists = [_listed(step, len(ids)) for step, ids in listed.items()]
            filters = {f"s{step}": json.dumps({"name": {"$in": ids}}) for step, ids in listed.items()}
            answer = self._ask([*lists, *_aliased(fields)], filters)
            given = [(place, rows) for place, rows in zip(single, _unaliased(fields, answer), strict=True)]
            for step in listed:
                for edge in items(mapping(answer.get(f"s{step}")).get("edges")):
                    node = mapping(mapping(edge).get("node"))
                    given.append(((str(node.get("name")), step), node.get("history")))
            for (run_id, step), rows in given:
                answered.add((run_id, step))
                row = take_row(rows, step)
                if row is not None:
                    found.setdefault(run_id, {})[step] = row
        return answered

    def _ask(self, fields: Sequence[str], filters: Mapping[str, str]) -> Mapping[str, Any]:
        """Fields of the project. ``filters`` are variables that they name."""
        variables = "".join(f", ${name}: JSONString" for name in filters)
        query = (
            f"query CatalogRows($entity: String, $project: String!{variables}) "
            f"{{ project(name: $project, entityName: $entity) {{ {' '.join(fields)} }} }}"
        )
        return mapping(self._client.post(query, {**self._place, **filters}).get("project"))


def history(step: int) -> str:
    """The field that is a run's row at a step."""
    return f"history(minStep: {step}, maxStep: {step + 1}, samples: 10)"


def take_row(answer: Any, step: int) -> Mapping[str, Any] | None:
    """The row out of such a field; None where there is none."""
    rows = [row for row in map(text_object, items(answer)) if as_step(row.get("_step")) == step]
    return rows[-1] if rows else None


def _listed(step: int, runs: int) -> str:
    return f"s{step}: runs(filters: $s{step}, first: {runs}) {{ edges {{ node {{ name {history(step)} }} }} }}"


def _numbered(fields: Sequence[tuple[str, str]]) -> dict[str, list[int]]:
    by_run: dict[str, list[int]] = {}
    for number, (run_id, _) in enumerate(fields):
        by_run.setdefault(run_id, []).append(number)
    return by_run


def _aliased(fields: Sequence[tuple[str, str]]) -> list[str]:
    """``r0: run(name: "…") { f0: history(…) f1: … }``, for each run with its fields."""
    parts = []
    for index, (run_id, numbers) in enumerate(_numbered(fields).items()):
        inner = " ".join(f"f{number}: {fields[number][1]}" for number in numbers)
        parts.append(f"r{index}: run(name: {json.dumps(run_id)}) {{ {inner} }}")
    return parts


def _unaliased(fields: Sequence[tuple[str, str]], answer: Mapping[str, Any]) -> Iterator[Any]:
    """The fields' values, in their order."""
    aliases = {run_id: f"r{index}" for index, run_id in enumerate(_numbered(fields))}
    for number, (run_id, _) in enumerate(fields):
        yield mapping(answer.get(aliases[run_id])).get(f"f{number}")
