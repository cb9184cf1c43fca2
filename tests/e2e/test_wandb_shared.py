"""One cache for all: a scan that is killed keeps what it fetched, two at once don't ask twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catalogdb import Catalog
from tests.wandb_server import KEY, ServedRun, serving

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
