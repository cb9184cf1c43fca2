"""What every cache of W&B runs does, asked of the catalog's own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from catalogdb.records import CachedRun
from catalogdb.resolve.wandb import RunCache
from catalogdb.store import Store

RUN = CachedRun(
    entity="team",
    project="detection",
    run_id="abc123de",
    found=True,
    fetched_at="2026-11-24T10:00:00+00:00",
    state="finished",
    config={"optimizer": {"lr": 0.001}},
    summary={"val/hmean": 0.0, "epoch": 0},
    history={0: {"val/hmean": 0.0}, 10: {"val/hmean": 0.5, "nested": {"a": None}}},
    history_complete=True,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path}/catalog.db")
    yield store
    store.close()


@pytest.fixture
def cache(store: Store) -> RunCache:
    return store.run_cache()


def test_an_unknown_run(cache: RunCache) -> None:
    assert cache.find("team", "detection", "abc123de") is None


def test_what_is_put_is_found(cache: RunCache) -> None:
    cache.put(RUN)
    assert cache.find("team", "detection", "abc123de") == RUN
    assert cache.find("team", "detection", "other") is None


def test_a_later_answer_takes_the_place(cache: RunCache) -> None:
    cache.put(RUN)
    later = replace(RUN, summary={"val/hmean": 1.0}, history={20: {}}, expires_at="2026-11-24T11:00:00+00:00")
    cache.put(later)
    assert cache.find("team", "detection", "abc123de") == later


def test_a_run_that_wandb_does_not_know(cache: RunCache) -> None:
    gone = CachedRun("team", "detection", "gone", False, "2026-11-24T10:00:00+00:00")
    cache.put(gone)
    assert cache.find("team", "detection", "gone") == gone


def test_the_view_shows_it(cache: RunCache, tmp_path: Path) -> None:
    cache.put(RUN)
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        rows = connection.execute("SELECT entity, project, run_id, state, found FROM wandb_run_cache").fetchall()
    connection.close()
    assert rows == [("team", "detection", "abc123de", "finished", 1)]
