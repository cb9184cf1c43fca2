"""Real trainings with WandbLogger, offline: each checkpoint's row against the row that was logged at its save; from the
run's own folder, then from a server, then from the cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalogdb import Catalog
from catalogdb.records import Checkpoint
from catalogdb.settings import Settings, load_settings
from tests.e2e.wandb_training import SETUPS
from tests.wandb_runs import served
from tests.wandb_server import KEY, WandbServer, serving

pytestmark = pytest.mark.training

KILLED = "killed"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each setup. The killed one ends its process, and is trained in one of its own."""
    folder = tmp_path_factory.mktemp("trained")
    environ = {**os.environ, "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    for setups in ([name for name in SETUPS if name != KILLED], [KILLED]):
        command = [sys.executable, "-m", "tests.e2e.wandb_training", str(folder), *setups]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=120)
        assert done.returncode == (-9 if setups == [KILLED] else 0), done.stderr
    return folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings(overrides={"url": str(tmp_path / "catalog.db"), "wandb_timeout": 5})


def truths(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*/truth.json")}


def logged_at_save(truth: dict[str, Any], checkpoint: Checkpoint) -> dict[str, float]:
    found: dict[str, float] = truth[f"{checkpoint.epoch} {checkpoint.global_step}"]
    return found


def rows_of(catalog: Catalog) -> list[Checkpoint]:
    return catalog.search("", max_results=None)


def check(rows: list[Checkpoint], folder: Path, *, incomplete: bool = True) -> int:
    """Each row has what was logged at its save, or, where its run's end never reached the disk, nothing of it.

    Returns how many have the row of their very step."""
    told = truths(folder)
    exact = 0
    for row in rows:
        setup = Path(row.path).relative_to(row.root).parts[0]
        truth = logged_at_save(told[setup], row)
        source = row.provenance.get("metrics.val/loss", {})
        if source.get("key", "summary") == "summary":
            assert not truth or (incomplete and setup == KILLED), row.path
            assert source.get("scope", "run") == "run"
            continue
        for name in ("val/loss", "val/hmean"):
            assert row.metrics[name] == pytest.approx(truth[name], abs=1e-6), (row.path, name)
        at = int(truth["trainer/global_step"])
        assert source["key"].startswith(f"history, trainer/global_step {at}")
        assert source["scope"] == ("run" if "before" in source["key"] else "checkpoint")
        exact += source["scope"] == "checkpoint"
    return exact


def test_from_the_runs_own_folder(trained: Path, settings: Settings) -> None:
    with Catalog.open(settings=settings) as catalog:
        report = catalog.scan(trained)
        rows = rows_of(catalog)
    assert report.problems == ()
    assert len(rows) >= 60
    assert {row.source for row in rows} == {"wandb"}
    assert check(rows, trained) >= 14
    for row in rows:
        assert row.params["lr"] == 0.1
        assert row.provenance["wandb_run_id"]["key"] == "id from the path"
        setup = Path(row.path).relative_to(row.root).parts[0]
        if row.path.endswith("last.ckpt") and setup != KILLED:
            assert row.provenance["metrics.val/loss"]["scope"] == "checkpoint"
            assert row.created_at is not None


def test_the_same_rows_in_several_processes(trained: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with Catalog.open(settings=settings) as catalog:
        catalog.scan(trained)
        alone = [replace(row, id=0) for row in rows_of(catalog)]
    monkeypatch.setattr("catalogdb.reading.readers.WORTH_PROCESSES", 1)
    with Catalog.open("sqlite://", settings=settings) as catalog:
        catalog.scan(trained, workers=2)
        assert [replace(row, id=0) for row in rows_of(catalog)] == alone


def on_server(trained: Path, outputs: Path, server: WandbServer) -> None:
    """The trees without their run folders, whose data are on the server."""
    shutil.copytree(trained, outputs)
    for log in outputs.glob("*/wandb/offline-run-*/*.wandb"):
        server.add("team", "detection", served(log))
    for folder in outputs.glob("*/wandb"):
        shutil.rmtree(folder)


def test_from_the_server_then_from_the_cache(
    trained: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    outputs = tmp_path / "outputs"
    with serving() as server:
        on_server(trained, outputs, server)
        settings = replace(settings, wandb_base_url=server.url)
        with Catalog.open(settings=settings) as catalog:
            report = catalog.scan(outputs)
            rows = rows_of(catalog)
        assert report.problems == ()
        assert {row.source for row in rows} == {"wandb"}
        assert check(rows, outputs) >= 14
        assert {row.wandb_run_id for row in rows} == {
            f"team/detection/{run}" for run in server.runs["team", "detection"]
        }
        assert server.operations.count("CatalogRuns") == 1
        assert len(server.operations) <= 4
        server.forget()
        with Catalog.open(settings=settings) as catalog:
            catalog.scan(outputs, full=True)
            assert rows_of(catalog) == rows
        assert server.operations == []
    with Catalog.open(settings=settings) as catalog:
        catalog.scan(outputs, full=True)
        assert rows_of(catalog) == rows, "the server is down, and isn't needed"


def test_a_folder_that_is_gone_is_remembered(trained: Path, tmp_path: Path, settings: Settings) -> None:
    outputs = tmp_path / "outputs"
    shutil.copytree(trained, outputs)
    with Catalog.open(settings=settings) as catalog:
        catalog.scan(outputs)
        before = [row for row in rows_of(catalog) if f"/{KILLED}/" not in row.path]
        for folder in outputs.glob("*/wandb"):
            shutil.rmtree(folder)
        catalog.scan(outputs, full=True)
        assert [row for row in rows_of(catalog) if f"/{KILLED}/" not in row.path] == before
