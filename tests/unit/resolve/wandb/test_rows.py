"""History rows of many runs at once, from a server that executes the questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from catalogdb.resolve.wandb.client import Client
from catalogdb.resolve.wandb.credentials import Access
from catalogdb.resolve.wandb.rows import MANY, MAX_ROWS, RowQuestions, Rows
from tests.wandb_server import KEY, ServedRun, WandbServer, serving

SHARED, LAST = 7, 19
"""Steps that all runs have; each has one of its own between them."""


def own_step(number: int) -> int:
    return 8 + number % 10


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with serving() as server:
        for number in range(3 * MANY):
            rows = [
                {"_step": step, "val/hmean": number + step / 100} for step in (0, SHARED, own_step(number), LAST, 20)
            ]
            server.add("team", "ocr", ServedRun(f"run-{number}", history=rows))
        yield server


@pytest.fixture
def wanted() -> dict[str, set[int]]:
    return {f"run-{number}": {SHARED, own_step(number), LAST} for number in range(3 * MANY)}


@pytest.fixture
def client(server: WandbServer) -> Iterator[Client]:
    client = Client(Access(server.url, KEY), timeout=10.0, retries=0)
    yield client
    client.close()


@pytest.fixture
def questions(client: Client) -> RowQuestions:
    return RowQuestions(client, "team", "ocr")


def check(rows: Rows, wanted: dict[str, set[int]]) -> None:
    assert rows == {
        run_id: {
            step: {"_step": step, "val/hmean": int(run_id.partition("-")[2]) + step / 100} for step in sorted(steps)
        }
        for run_id, steps in wanted.items()
    }


def test_shared_steps_and_others_in_one_question(
    server: WandbServer, questions: RowQuestions, wanted: dict[str, set[int]]
) -> None:
    check(questions.rows(wanted), wanted)
    assert server.operations == ["CatalogRows"]


def test_a_shared_step_makes_no_longer_question_of_more_runs(
    client: Client, wanted: dict[str, set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def post(query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(query)
        return Client.post(client, query, variables)

    monkeypatch.setattr(client, "post", post)
    for count in (MANY, len(wanted)):
        RowQuestions(client, "team", "ocr").rows({run_id: {SHARED} for run_id in list(wanted)[:count]})
    assert asked[0] == asked[1].replace(f"first: {len(wanted)}", f"first: {MANY}")


@pytest.mark.parametrize("repeat", [False, True])
def test_runs_that_a_short_page_left_out_are_asked_for_by_name(
    server: WandbServer, questions: RowQuestions, wanted: dict[str, set[int]], repeat: bool
) -> None:
    server.max_page, server.repeat_last = 4, repeat
    check(questions.rows(wanted), wanted)
    assert server.operations == ["CatalogRows"] * 2


def test_runs_and_rows_that_are_not_there(
    server: WandbServer, questions: RowQuestions, wanted: dict[str, set[int]]
) -> None:
    rows = questions.rows({**{run_id: {SHARED, 5} for run_id in wanted}, "gone": {SHARED, 5}})
    check(rows, {run_id: {SHARED} for run_id in wanted})
    assert server.operations == ["CatalogRows"] * 2, "the run that wasn't listed is asked for by its name, once"


def test_more_than_fits_into_a_question(
    server: WandbServer, questions: RowQuestions, wanted: dict[str, set[int]]
) -> None:
    steps = range(MAX_ROWS // len(wanted) + 3)
    rows = questions.rows({run_id: set(steps) for run_id in wanted})
    check(rows, {f"run-{number}": {0, SHARED, own_step(number), LAST, 20} for number in range(len(wanted))})
    assert server.operations == ["CatalogRows"] * 2
