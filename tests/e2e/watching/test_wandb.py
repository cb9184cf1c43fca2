"""Rows follow their W&B runs while nothing changes on the disk: asked again in time, and never in a hurry."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.e2e.watching.harness import Watching, checkpoint, put, wait_until, watching
from tests.wandb_server import KEY, Fault, ServedRun, WandbServer, serving

LIFETIME = 2.0
"""Of an answer, in seconds; a quarter of it is the least time between two questions."""


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with serving() as server:
        yield server


@contextmanager
def following(root: Path, server: WandbServer, **environ: str) -> Iterator[Watching]:
    asking = {
        "WANDB_API_KEY": KEY,
        "WANDB_BASE_URL": server.url,
        "CATALOGDB_WANDB_CACHE_TTL": f"{LIFETIME:g}",
        "CATALOGDB_WANDB_TIMEOUT": "1",
        "CATALOGDB_WATCH_RECONCILE": "3600",
    }
    with watching(root, root.parent / "catalog.db", ends=0, **(asking | environ)) as watcher:
        wait_until(lambda: watcher.facts("reconciled"))
        yield watcher


def save(root: Path, run_id: str) -> None:
    """A checkpoint whose config names its run."""
    wandb = f"logger: {{wandb: {{id: {run_id}, entity: team, project: ocr}}}}\n"
    put(root / run_id / "config.yaml", wandb)
    put(root / run_id / "last.ckpt", checkpoint(1))


def rates(watcher: Watching) -> dict[str, object]:
    """What W&B says of each run."""
    return {path.partition("/")[0]: row.params.get("lr") for path, row in watcher.rows().items()}


def test_rows_follow_a_run_until_it_ends(root: Path, server: WandbServer) -> None:
    runs = [f"run{number:05d}" for number in range(5)]
    for run_id in runs:
        server.add("team", "ocr", ServedRun(run_id, {"lr": 0.1}, state="running"))
        save(root, run_id)
    with following(root, server) as watcher:
        assert rates(watcher) == dict.fromkeys(runs, 0.1)
        for run_id in runs:
            server.add("team", "ocr", ServedRun(run_id, {"lr": 0.2}, state="running"))
        wait_until(lambda: rates(watcher) == dict.fromkeys(runs, 0.2))
        time.sleep(2 * LIFETIME)
        assert len(watcher.facts("updated")) == len(runs), "an answer that says nothing new is no news"
        save(root, "later")
        server.add("team", "ocr", ServedRun("later", {"lr": 0.3}, state="running"))
        wait_until(lambda: rates(watcher).get("later") == 0.3, what="a run that wasn't there at first")
        for run_id in (*runs, "later"):
            server.add("team", "ocr", ServedRun(run_id, {"lr": 0.4}, state="finished"))
        wait_until(lambda: rates(watcher) == dict.fromkeys([*runs, "later"], 0.4))
        server.forget()
        time.sleep(2 * LIFETIME)
        assert server.operations == [], "a run that has ended is never asked for again"


def test_runs_that_expire_together_are_asked_for_together(root: Path, server: WandbServer) -> None:
    runs = [f"run{number:05d}" for number in range(30)]
    for run_id in runs:
        server.add("team", "ocr", ServedRun(run_id, {"lr": 0.1}, state="running"))
        save(root, run_id)
    with following(root, server) as watcher:
        server.forget()
        for run_id in runs:
            server.add("team", "ocr", ServedRun(run_id, {"lr": 0.2}, state="finished"))
        wait_until(lambda: rates(watcher) == dict.fromkeys(runs, 0.2))
        assert len(server.operations) <= 4, "not one for each run"


@pytest.mark.parametrize("fault", [Fault("status", status=503), Fault("hang"), Fault("status", status=401)])
def test_a_server_that_fails_is_asked_less_and_less(root: Path, server: WandbServer, fault: Fault) -> None:
    """And in between what happens on the disk is seen without waiting for it."""
    server.add("team", "ocr", ServedRun("run00001", {"lr": 0.1}, state="running"))
    save(root, "run00001")
    with following(root, server) as watcher:
        assert rates(watcher) == {"run00001": 0.1}
        server.faults.append(fault)
        server.forget()
        server.add("team", "ocr", ServedRun("run00001", {"lr": 0.2}, state="finished"))
        row = wait_until(lambda: (found := watcher.rows()["run00001/last.ckpt"]).stale and found)
        assert row.params["lr"] == 0.1, "what was known is kept"
        before = psutil.Process(watcher.process.pid).num_ctx_switches().voluntary
        time.sleep(4)
        assert psutil.Process(watcher.process.pid).num_ctx_switches().voluntary - before < 1000, "it doesn't spin"
        assert len(server.operations) <= 24, "three times for each question, and these come less and less often"
        assert watcher.facts("wandb"), "it says so"
        assert len(watcher.facts("updated")) == 1, "the row is stale, which is told once"
        for step in range(5):
            put(root / f"other-{step}" / "last.ckpt", checkpoint(step))
        wait_until(lambda: len(watcher.rows()) == 6)
        server.faults.clear()
        wait_until(lambda: rates(watcher)["run00001"] == 0.2, seconds=40)
        assert not watcher.rows()["run00001/last.ckpt"].stale


def test_offline_nothing_is_asked(root: Path, server: WandbServer) -> None:
    server.add("team", "ocr", ServedRun("run00001", {"lr": 0.1}, state="running"))
    save(root, "run00001")
    with following(root, server) as watcher:
        assert rates(watcher) == {"run00001": 0.1}
    server.forget()
    with following(root, server, CATALOGDB_OFFLINE="1") as watcher:
        time.sleep(2 * LIFETIME)
        assert rates(watcher) == {"run00001": 0.1}
    assert server.operations == []


def test_a_run_s_folder_that_turns_up_while_it_watches(root: Path, server: WandbServer) -> None:
    put(root / "trial" / "first.ckpt", checkpoint(1))
    put(root / "trial" / "config.yaml", "logger: {wandb: {id: abc123de, entity: team, project: ocr}}\n")
    with following(root, server, CATALOGDB_OFFLINE="1") as watcher:
        files = root / "trial" / "wandb" / "run-20251018_143215-abc123de" / "files"
        put(files / "config.yaml", "lr: {value: 0.5}\n")
        put(files / "wandb-summary.json", "{}")
        put(root / "trial" / "second.ckpt", checkpoint(2))
        wait_until(lambda: (row := watcher.rows().get("trial/second.ckpt")) and row.params.get("lr") == 0.5)
