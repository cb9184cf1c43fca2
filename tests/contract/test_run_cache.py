"""What every cache of W&B runs does, asked of the catalog's own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from catalogdb.records import CachedRun, HistoryNeed, HistoryRow, RunFile, RunKey, Stamp
from catalogdb.store import Store
from catalogdb.store.run_cache import RunCache

KEY = RunKey("https://api.wandb.ai", "team", "detection", "abc123de")
AT = "2026-11-24T10:00:00+00:00"
LATER = "2026-11-24T11:00:00+00:00"
RUN = CachedRun(
    KEY,
    found=True,
    fetched_at=AT,
    state="finished",
    config={"optimizer": {"lr": 0.001}},
    summary={"val/hmean": 0.0, "epoch": 0},
    attributes={"tags": ["a"], "created_at": AT},
    history={
        HistoryNeed("val/hmean", 9): (HistoryRow(7, 9, {"val/hmean": 0.0, "nested": {"a": None}}),),
        HistoryNeed("val/loss", 9): (),
    },
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
    assert cache.find(["abc123de"]) == []


def test_what_is_put_is_found(cache: RunCache) -> None:
    cache.put([RUN])
    assert cache.find(["abc123de", "other"]) == [RUN]
    assert cache.find(["other"]) == []


def test_the_same_id_of_several_projects_and_servers(cache: RunCache) -> None:
    others = [replace(RUN, key=KEY._replace(project="ocr")), replace(RUN, key=KEY._replace(base_url=""))]
    cache.put([RUN, *others])
    assert cache.find(["abc123de"]) == [RUN, *others]


def test_a_later_answer_takes_the_place_and_keeps_the_rows(cache: RunCache) -> None:
    cache.put([RUN])
    more = {HistoryNeed("val/hmean", 19): (HistoryRow(15, 19, {"val/hmean": 1.0}),)}
    later = replace(RUN, summary={"val/hmean": 1.0}, history=more, expires_at=LATER)
    cache.put([later])
    assert cache.find(["abc123de"]) == [replace(later, history={**RUN.history, **more})]
    cache.put([later], forget_history=True)
    assert cache.find(["abc123de"]) == [later]


@pytest.mark.parametrize("forbidden", [False, True])
def test_a_run_that_wandb_does_not_give(cache: RunCache, forbidden: bool) -> None:
    gone = CachedRun(KEY, False, AT, LATER, forbidden=forbidden)
    cache.put([gone])
    assert cache.find(["abc123de"]) == [gone]


def test_how_far_a_file_was_read(cache: RunCache) -> None:
    file = RunFile("/data/wandb/run.wandb", Stamp(100, 2, 3, 4), 90, {"config": {"lr": "0.1"}})
    assert cache.find_file(file.path) is None
    cache.put_files([file])
    cache.put_files([replace(file, read_to=95)])
    assert cache.find_file(file.path) == replace(file, read_to=95)


def test_a_run_is_asked_for_by_one_at_a_time(cache: RunCache) -> None:
    other = KEY._replace(run_id="other")
    assert cache.claim([KEY], seconds=60) == {KEY}
    assert cache.claim([KEY, other], seconds=60) == {other}
    cache.put([RUN])
    cache.release([other])
    assert cache.claim([KEY, other], seconds=-1) == {KEY, other}
    assert cache.claim([KEY], seconds=60) == {KEY}, "a claim that lapsed is free"


def test_what_it_is_used_for(cache: RunCache) -> None:
    cache.put([RUN, CachedRun(KEY._replace(run_id="gone"), False, LATER, AT)])
    cache.count({KEY[:3]: (3, 1)})
    cache.count({KEY[:3]: (1, 0), ("", "", "ocr"): (0, 1)})
    local, team = cache.use(now=LATER)
    assert (local.project, local.runs, local.hits, local.misses, local.oldest) == ("ocr", 0, 0, 1, None)
    assert (team.entity, team.project, team.runs, team.found, team.absent, team.expired) == (
        "team",
        "detection",
        2,
        1,
        1,
        1,
    )
    assert (team.oldest, team.newest, team.hits, team.misses) == (AT, LATER, 4, 1)
    assert team.size_bytes > 100


def test_runs_of_two_folders_are_two_and_count_together(cache: RunCache) -> None:
    first, second = (replace(RUN, key=KEY._replace(base_url=f"file:///{name}/wandb")) for name in ("a", "b"))
    cache.put([first, replace(second, history={})])
    assert [run.history for run in cache.find(["abc123de"]) if run.key == second.key] == [{}]
    assert [(use.base_url, use.runs) for use in cache.use(now=LATER)] == [("", 2)]


def test_clearing_by_project_and_run(cache: RunCache) -> None:
    others = [replace(RUN, key=KEY._replace(project="ocr")), replace(RUN, key=KEY._replace(run_id="other"))]
    cache.put([RUN, *others])
    assert cache.keys(project="team/ocr") == [others[0].key]
    assert cache.keys(run="team/detection/other") == [others[1].key]
    assert cache.clear(project="other/ocr") == 0
    assert cache.clear(project="ocr") == 1
    assert cache.clear(run="abc123de") == 1
    assert cache.find(["abc123de", "other"]) == [others[1]]
    assert cache.clear() == 1


def test_the_view_shows_it(cache: RunCache, tmp_path: Path) -> None:
    cache.put([RUN])
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        rows = connection.execute("SELECT entity, project, run_id, state, found FROM wandb_run_cache").fetchall()
    connection.close()
    assert rows == [("team", "detection", "abc123de", "finished", 1)]
