"""The real SDK is the oracle: what ``wandb.Api().run`` says of random runs is what the cache holds of them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from catalogdb.records import HistoryNeed, RunKey
from catalogdb.resolve.wandb import Access, Client, Fetcher
from catalogdb.store import Store
from tests.wandb_server import KEY, ServedRun, WandbServer, serving

RUNS = 200
NAMES = [
    "lr",
    "a.b",
    "a/b",
    "ключ",
    "a b",
    "_x",
    "value",
    "desc",
    "0",
    "x" * 200,
    "name\n",
    '"quoted"',
    "$in",
    "{",
    "é",
]
STATES = ["finished", "failed", "crashed", "killed", "running"]

ORACLE = """
import json, sys
import wandb
api = wandb.Api(api_key=sys.argv[2], timeout=60, overrides={"base_url": sys.argv[1], "entity": "team"})
told = {}
for run_id in json.load(sys.stdin):
    run = api.run(f"team/ocr/{run_id}")
    rows = run.history(samples=1000, pandas=False)
    said = {"config": dict(run.config), "summary": dict(run.summary._json_dict), "state": run.state}
    told[run_id] = {**said, "rows": rows}
json.dump(told, sys.stdout)
"""


def value(chance: random.Random, depth: int = 0) -> Any:
    kinds: list[Any] = [
        chance.randint(-(2**60), 2**60),
        chance.uniform(-1, 1),
        0.0,
        "text",
        "NaN",
        "",
        None,
        True,
        [1, "b", None],
        {"type": "x"},
    ]
    if depth < 3 and chance.random() < 0.3:
        return {chance.choice(NAMES): value(chance, depth + 1) for _ in range(chance.randint(0, 3))}
    return chance.choice(kinds)


def made(chance: random.Random, run_id: str) -> ServedRun:
    config = {name: value(chance) for name in chance.sample(NAMES, chance.randint(0, 8))}
    summary = {name: value(chance) for name in chance.sample(NAMES, chance.randint(0, 8))}
    rows = []
    for epoch in range(chance.randint(0, 8)):
        rows.append({"_step": 2 * epoch, "trainer/global_step": 10 * epoch + 4, "train/loss": 1.0, "epoch": epoch})
        rows.append(
            {
                "_step": 2 * epoch + 1,
                "trainer/global_step": 10 * epoch + 9,
                "val/hmean": epoch / 9,
                "odd": value(chance),
            }
        )
    if rows:
        summary["val/hmean"] = rows[-1]["val/hmean"]
    return ServedRun(run_id, config, summary, rows, chance.choice(STATES))


@pytest.fixture(scope="module")
def runs() -> list[ServedRun]:
    chance = random.Random(4)
    return [made(chance, f"run{number:05d}") for number in range(RUNS)]


def as_the_sdk_says(server: WandbServer, ids: list[str], home: Path) -> dict[str, Any]:
    environ = {
        **os.environ,
        "HOME": str(home),
        "WANDB_DIR": str(home),
        "WANDB_CACHE_DIR": str(home),
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_BASE_URL": server.url,
    }
    command = [sys.executable, "-c", ORACLE, server.url, KEY]
    done = subprocess.run(
        command, input=json.dumps(ids), capture_output=True, text=True, check=False, env=environ, cwd=home, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_the_cache_holds_what_the_sdk_says(runs: list[ServedRun], tmp_path: Path) -> None:
    ids = [run.run_id for run in runs]
    with serving() as server:
        server.add("team", "ocr", *runs)
        told = as_the_sdk_says(server, ids, tmp_path)
        server.forget()
        store = Store.open(f"sqlite:///{tmp_path}/catalog.db")
        try:
            cache = store.run_cache()
            fetcher = Fetcher.of(Client(Access(server.url, KEY), timeout=60, retries=0), cache, ttl=60)
            needs = {
                RunKey(server.url, "team", "ocr", run.run_id): [
                    HistoryNeed("val/hmean", row["trainer/global_step"]) for row in run.history if "val/hmean" in row
                ]
                for run in runs
            }
            fetcher.fetch(needs, lambda run: True)
            fetcher.close()
            assert not fetcher.problems
            found = {run.key.run_id: run for run in cache.find(ids)}
        finally:
            store.close()
    assert set(found) == set(told) == set(ids)
    compared = 0
    for run_id, run in found.items():
        expected = told[run_id]
        assert run.state == expected["state"]
        assert run.config == expected["config"]
        assert run.summary == expected["summary"]
        rows = {row["trainer/global_step"]: row for row in expected["rows"] if row.get("val/hmean") is not None}
        assert {need.at for need in run.history} == set(rows)
        for need, (row,) in run.history.items():
            assert {name: known for name, known in row.values.items() if known is not None} == {
                name: known for name, known in rows[need.at].items() if known is not None
            }
            compared += 1
    assert compared > RUNS
