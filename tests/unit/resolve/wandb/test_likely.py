"""Rows that are asked for with their runs, at the steps that the runs before needed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from catalogdb.records import HistoryNeed
from catalogdb.resolve.wandb import Access, Client
from catalogdb.resolve.wandb.api import fetch_runs
from catalogdb.resolve.wandb.likely import MAX_STEPS, LikelySteps
from catalogdb.resolve.wandb.rows import MANY
from tests.wandb_server import KEY, ServedRun, WandbServer, serving

SAVED = (49, 99)
"""The trainer's steps of a run's checkpoints."""


def logged(number: int, spacing: int) -> ServedRun:
    """A row of each fifty steps of the trainer, of which W&B's own steps are ``spacing`` apart."""
    rows = [
        {"_step": spacing * epoch, "trainer/global_step": 50 * epoch + 49, "val/hmean": number + epoch / 10}
        for epoch in range(5)
    ]
    return ServedRun(f"run-{number}", summary=rows[-1], history=rows)


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with serving() as server:
        yield server


@pytest.fixture
def client(server: WandbServer) -> Iterator[Client]:
    client = Client(Access(server.url, KEY), timeout=10.0, retries=0)
    yield client
    client.close()


def ask(server: WandbServer, client: Client, likely: LikelySteps, numbers: range, spacing: int) -> list[str]:
    """What was asked, once the answers are found to be right."""
    server.add("team", "ocr", *[logged(number, spacing) for number in numbers])
    server.forget()
    needs = {f"run-{number}": [HistoryNeed("val/hmean", at) for at in SAVED] for number in numbers}
    found = fetch_runs(client, likely, "team", "ocr", needs)
    assert {run_id: {need.at: rows for need, rows in run.history.items()} for run_id, run in found.items()} == {
        f"run-{number}": {
            at: ((spacing * epoch, at, {"_step": spacing * epoch, **row(number, epoch, at)}),)
            for epoch, at in enumerate(SAVED)
        }
        for number in numbers
    }
    return list(server.operations)


def row(number: int, epoch: int, at: int) -> dict[str, float]:
    return {"trainer/global_step": at, "val/hmean": number + epoch / 10}


def test_runs_like_those_before_are_asked_for_in_one_question(server: WandbServer, client: Client) -> None:
    likely = LikelySteps()
    assert ask(server, client, likely, range(MANY), 3) == ["CatalogRuns", "CatalogRows"]
    assert likely.now() == (0, 3)
    assert ask(server, client, likely, range(MANY, 2 * MANY), 3) == ["CatalogRuns"]


def test_other_runs_get_their_own_rows(server: WandbServer, client: Client) -> None:
    likely = LikelySteps()
    likely.learn([{0, 4}] * MANY)
    assert ask(server, client, likely, range(MANY), 2) == ["CatalogRuns", "CatalogRows"], "4 is another epoch's row"
    assert likely.now() == (0, 2)


def test_few_runs_say_nothing_of_others(server: WandbServer, client: Client) -> None:
    likely = LikelySteps()
    ask(server, client, likely, range(MANY - 1), 3)
    assert likely.now() == ()


def test_what_less_than_half_of_the_runs_needed_is_not_likely() -> None:
    likely = LikelySteps()
    likely.learn([{number % 3, 7} for number in range(3 * MANY)])
    assert likely.now() == (7,)
    likely.learn([set(range(MAX_STEPS + 3))] * MANY)
    assert len(likely.now()) == MAX_STEPS
