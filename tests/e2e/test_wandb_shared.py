"""One cache for all: a scan that is killed keeps what it fetched, two at once don't ask twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.records import CachedRun, HistoryNeed, RunKey
from catalogdb.resolve.wandb import Access, Client, Fetcher
from catalogdb.store import Store
from tests.wandb_server import KEY, ServedRun, WandbServer, serving

RUNS = 40


def lay_out(folder: Path, project: str) -> list[str]:
    torch = pytest.importorskip("torch")
    ids = [f"{project}{number:05d}" for number in range(RUNS)]
    for run_id in ids:
        place = folder / run_id
        place.mkdir(parents=True)
        torch.save({"state_dict": {"weight": torch.zeros(2, 2)}}, place / "model.ckpt")
        wandb = {"id": run_id, "entity": "team", "project": project}
        (place / "config.yaml").write_text(json.dumps({"logger": {"wandb": wandb}}), encoding="utf-8")
    return ids


def environment(home: Path, url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CATALOGDB_URL": str(home / "catalog.db"),
        "CATALOGDB_WANDB_TIMEOUT": "20",
        "WANDB_API_KEY": KEY,
        "WANDB_BASE_URL": url,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def scan(home: Path, url: str, *roots: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "catalogdb", "scan", *map(str, roots)]
    return subprocess.Popen(command, cwd=home, env=environment(home, url), stdout=subprocess.PIPE)


def sources(home: Path) -> list[str]:
    with Catalog.open(home / "catalog.db") as catalog:
        return [str(row.source) for row in catalog.search("", max_results=None)]


def test_two_scans_at_once_ask_once(tmp_path: Path) -> None:
    ids = lay_out(tmp_path / "outputs", "ocr")
    with serving(latency=0.3) as server:
        server.add("team", "ocr", *[ServedRun(run_id, summary={"val/hmean": 0.5}) for run_id in ids])
        scans = [scan(tmp_path, server.url, tmp_path / "outputs") for _ in range(2)]
        for each in scans:
            out, _ = each.communicate(timeout=60)
            assert each.returncode == 0, out
        assert len(server.operations) <= 2
    assert sources(tmp_path) == ["wandb"] * RUNS


def test_what_a_killed_scan_fetched_is_kept(tmp_path: Path) -> None:
    first, second = lay_out(tmp_path / "outputs" / "a", "one"), lay_out(tmp_path / "outputs2" / "b", "two")
    with serving() as server:
        server.add("team", "one", *[ServedRun(run_id, summary={"val/hmean": 0.5}) for run_id in first])
        server.add("team", "two", *[ServedRun(run_id, summary={"val/hmean": 0.5}) for run_id in second])
        process = scan(tmp_path, server.url, tmp_path / "outputs", tmp_path / "outputs2")
        end = time.monotonic() + 30
        while not server.operations and time.monotonic() < end:
            time.sleep(0.002)
        server.latency = 5.0
        while len(server.operations) < 2 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it waited for the second project when it was killed"
        server.latency = 0.0
        server.forget()
        again = scan(tmp_path, server.url, tmp_path / "outputs", tmp_path / "outputs2")
        again.communicate(timeout=60)
        assert server.operations == ["CatalogRuns"], "the rest alone is asked for"
    assert sources(tmp_path) == ["wandb"] * (2 * RUNS)


def needs(url: str, *rows: tuple[str, int]) -> dict[RunKey, list[HistoryNeed]]:
    return {RunKey(url, "team", "ocr", run_id): [HistoryNeed("val/hmean", at)] for run_id, at in rows}


def served(run_id: str) -> ServedRun:
    rows = [{"_step": step, "trainer/global_step": 10 * step, "val/hmean": step / 10} for step in range(9)]
    return ServedRun(run_id, summary=rows[-1], history=rows)


def fetched_by_two_threads(
    server: WandbServer, home: Path, *wanted: dict[RunKey, list[HistoryNeed]]
) -> list[dict[RunKey, CachedRun]]:
    store = Store.open(f"sqlite:///{home}/catalog.db")
    fetcher = Fetcher.of(Client(Access(server.url, KEY), timeout=20, retries=0), store.run_cache(), ttl=60)
    try:
        with ThreadPoolExecutor(len(wanted)) as threads:
            return list(threads.map(lambda some: fetcher.fetch(some, partial(has_rows, wanted=some)), wanted))
    finally:
        fetcher.close()
        store.close()


def has_rows(run: CachedRun, wanted: dict[RunKey, list[HistoryNeed]]) -> bool:
    return all(need in run.history for need in wanted[run.key])


def test_threads_that_need_other_runs_ask_at_the_same_time(tmp_path: Path) -> None:
    """Each request waits until the other one is there."""
    with serving() as server:
        server.add("team", "ocr", served("one"), served("other"))
        server.together = threading.Barrier(2, timeout=20)
        found = fetched_by_two_threads(
            server, tmp_path, needs(server.url, ("one", 40)), needs(server.url, ("other", 50))
        )
        assert server.operations == ["CatalogRuns"] * 2 + ["CatalogRows"] * 2
    assert [run.found for runs in found for run in runs.values()] == [True, True]


def test_threads_that_need_the_same_run_ask_one_after_the_other(tmp_path: Path) -> None:
    with serving(latency=0.1) as server:
        server.add("team", "ocr", served("both"), served("one"), served("other"))
        wanted = [needs(server.url, ("both", at), (run_id, at)) for run_id, at in (("one", 40), ("other", 50))]
        found = fetched_by_two_threads(server, tmp_path, *wanted)
        assert server.operations == ["CatalogRuns", "CatalogRows"] * 2
    for some, runs in zip(wanted, found, strict=True):
        assert all(has_rows(runs[key], some) for key in some)


def test_threads_that_need_the_same_rows_ask_once(tmp_path: Path) -> None:
    with serving(latency=0.1) as server:
        server.add("team", "ocr", served("both"))
        wanted = [needs(server.url, ("both", 40)) for _ in range(2)]
        found = fetched_by_two_threads(server, tmp_path, *wanted)
        assert server.operations == ["CatalogRuns", "CatalogRows"]
    assert [run.history for runs in found for run in runs.values()] == [found[0][next(iter(wanted[0]))].history] * 2
