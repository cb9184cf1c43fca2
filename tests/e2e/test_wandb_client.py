"""The seed's client: what it knows, from where, what it costs; and None, in time, wherever it can't know."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from catalogdb import (
    Catalog,
    WandbClient,
    extract_run_id_from_checkpoint,
    get_wandb_client,
    load_metadata,
    save_metadata,
)
from catalogdb.limits import Limits
from catalogdb.settings import Settings, load_settings
from tests.e2e.cli.saved import lightning, plain
from tests.wandb_server import KEY, Fault, ServedRun, WandbServer, serving

RUN = "team/ocr/abc123de"
LOGGED = datetime(2026, 10, 18, 15, 0, tzinfo=timezone.utc)
CONFIG: dict[str, Any] = {
    "model": {
        "architecture_name": "dbnet",
        "encoder": {"model_name": "resnet50", "pretrained": False, "frozen": True},
        "decoder": {"name": "pan_decoder", "in_channels": [64, 128], "inner_channels": 256, "use_bias": True},
        "head": {"_target_": "models.heads.DBHead", "in_channels": 128, "box_thresh": 0.3},
        "loss": {"name": "db_loss", "alpha": 5.0, "_partial_": True},
    },
    "trainer": {"max_epochs": 50},
    "callbacks": {"model_checkpoint": {"monitor": "val/hmean", "mode": "max", "save_top_k": 3, "save_last": False}},
    "_wandb": {"cli_version": "0.31.0"},
}


def row(epoch: int, **values: float) -> dict[str, Any]:
    """As Lightning's validation after this epoch logs it."""
    return {
        "_step": 7 * epoch,
        "_timestamp": LOGGED.timestamp() + epoch,
        "trainer/global_step": 10 * epoch + 9,
        "epoch": epoch,
        "val/hmean": (epoch + 1) / 33,
        **values,
    }


HISTORY = [row(epoch, **{"val/precision": 0.5, "test/precision": 0.0, "cleval/hmean": 0.25}) for epoch in range(5)]


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with serving() as server:
        server.add("team", "ocr", ServedRun("abc123de", CONFIG, HISTORY[-1], HISTORY))
        yield server


@pytest.fixture
def settings(tmp_path: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for variable in [name for name in os.environ if name.startswith(("CATALOGDB_", "WANDB_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    return load_settings(overrides={"url": str(tmp_path / "catalog.db"), "wandb_timeout": 60.0, "wandb_retry_count": 0})


@pytest.fixture
def client(settings: Settings) -> Iterator[WandbClient]:
    client = WandbClient(settings)
    yield client
    client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("torch")
    folder = tmp_path / "outputs" / "dbnet-resnet50" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_config_and_summary_are_asked_for_once(server: WandbServer, client: WandbClient, settings: Settings) -> None:
    assert client.get_run_config(RUN) == {name: value for name, value in CONFIG.items() if name != "_wandb"}
    assert client.get_run_summary(RUN) == HISTORY[-1]
    other = WandbClient(settings)
    assert other.get_run_summary("abc123de") == HISTORY[-1], "the cache knows whose it is"
    other.close()
    assert server.operations == ["CatalogRuns"]
    assert server.keys == {KEY}


def test_a_checkpoint_is_read_within_the_limits_of_the_settings(
    client: WandbClient, settings: Settings, folder: Path
) -> None:
    lightning(folder, epoch=3).rename(folder / "last.ckpt")
    found = client.get_metadata_from_wandb(RUN, folder / "last.ckpt")
    assert found is not None
    assert found.training.epoch == 3
    narrow = WandbClient(replace(settings, limits=Limits(zip_entries=3)))
    assert narrow.get_metadata_from_wandb(RUN, folder / "last.ckpt") is None
    narrow.close()


def test_an_answer_may_be_changed_by_who_got_it(client: WandbClient) -> None:
    first = client.get_run_config(RUN)
    assert first is not None
    first["model"].clear()
    again = client.get_run_config(RUN)
    assert again is not None
    assert again["model"] == CONFIG["model"]


def test_the_metadata_of_a_checkpoint_is_that_of_its_step(
    server: WandbServer, client: WandbClient, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "catalogdb")
    found = client.get_metadata_from_wandb(RUN, lightning(folder, 2))
    assert found is not None
    assert (found.training.epoch, found.training.global_step, found.training.max_epochs) == (2, 30, 50)
    assert (found.metrics.precision, found.metrics.recall) == (0.0, None), "test before val, and 0.0 is a value"
    assert found.metrics.hmean == pytest.approx(3 / 33)
    assert found.metrics.additional_metrics["cleval/hmean"] == 0.25
    assert found.metrics.additional_metrics["val/precision"] == 0.5
    assert datetime.fromisoformat(found.created_at) == datetime(2026, 10, 18, 15, 0, 2, tzinfo=timezone.utc)
    assert found.exp_name == "dbnet-resnet50"
    assert found.checkpoint_path == "dbnet-resnet50/checkpoints/epoch=2-step=30.ckpt"
    assert found.wandb_run_id == RUN
    assert server.operations == ["CatalogRuns", "CatalogRows"]
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_what_the_model_is_comes_from_the_config(client: WandbClient, folder: Path) -> None:
    found = client.get_metadata_from_wandb(RUN, lightning(folder, 2))
    assert found is not None
    assert found.model.model_dump(exclude_unset=True) == {
        "architecture": "dbnet",
        "encoder": {"model_name": "resnet50", "pretrained": False, "frozen": True},
        "decoder": {
            "name": "pan_decoder",
            "in_channels": [64, 128],
            "inner_channels": 256,
            "params": {"use_bias": True},
        },
        "head": {"name": "DBHead", "in_channels": 128, "params": {"box_thresh": 0.3}},
        "loss": {"name": "db_loss", "params": {"alpha": 5.0}},
    }
    assert found.checkpointing.model_dump() == {
        "monitor": "val/hmean",
        "mode": "max",
        "save_top_k": 3,
        "save_last": False,
    }


def test_metadata_can_be_saved_beside_the_checkpoint(client: WandbClient, folder: Path) -> None:
    path = lightning(folder, 2)
    found = client.get_metadata_from_wandb(RUN, path)
    assert found is not None
    save_metadata(found, path)
    assert load_metadata(path) == found


def test_the_summary_counts_for_the_last_step_alone(server: WandbServer, client: WandbClient, folder: Path) -> None:
    summary = {"epoch": 4, "trainer/global_step": 49, "test/recall": 0.75}
    server.add("team", "ocr", ServedRun("abc123de", CONFIG, summary))
    last = client.get_metadata_from_wandb(RUN, lightning(folder, 4))
    before = client.get_metadata_from_wandb(RUN, lightning(folder, 3))
    assert last is not None
    assert before is not None
    assert last.metrics.recall == 0.75
    assert before.metrics.recall is None
    assert before.metrics.hmean == pytest.approx(4 / 33), "the file's own score"


def test_the_summary_of_a_loop_of_ones_own(server: WandbServer, client: WandbClient, folder: Path) -> None:
    torch = pytest.importorskip("torch")
    server.add("team", "ocr", ServedRun("abc123de", {}, {"epoch": 4, "global_step": 50, "val/recall": 0.75}))
    for step in (40, 50):
        torch.save({"epoch": step // 10 - 1, "global_step": step, "state_dict": {}}, folder / f"{step}.pt")
    found = [client.get_metadata_from_wandb(RUN, folder / f"{step}.pt") for step in (40, 50)]
    assert [one.metrics.recall if one is not None else -1 for one in found] == [None, 0.75]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (0, "2026-10-18T14:32:15+00:00"),
        (datetime(2026, 10, 18, 14, 45, tzinfo=timezone.utc).timestamp(), "2026-10-18T14:45:00+00:00"),
        (datetime(2026, 11, 2, tzinfo=timezone.utc).timestamp(), "2026-10-18T14:32:15+00:00"),
    ],
    ids=["1970", "within the run", "copied later"],
)
def test_when_it_was_made(server: WandbServer, client: WandbClient, folder: Path, written: float, told: str) -> None:
    server.add("team", "ocr", ServedRun("abc123de", CONFIG))
    path = lightning(folder, 2)
    os.utime(path, (written, written))
    found = client.get_metadata_from_wandb(RUN, path)
    assert found is not None
    assert found.created_at == told


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("last.ckpt", (4, 49, 5 / 33)),
        ("epoch=4-step=49.ckpt", (4, 49, 5 / 33)),
        ("epoch=1-step=20.ckpt", (1, 20, None)),
    ],
)
def test_a_file_that_is_not_there(
    client: WandbClient, folder: Path, name: str, state: tuple[int, int, float | None]
) -> None:
    found = client.get_metadata_from_wandb(RUN, folder / name)
    assert found is not None
    assert (found.training.epoch, found.training.global_step, found.metrics.hmean) == state
    assert found.created_at == "2026-10-18T14:32:15+00:00"
    assert found.model.architecture == "dbnet"


def test_a_file_that_does_not_say_its_epoch(
    client: WandbClient, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, folder / "model.ckpt")
    assert client.get_metadata_from_wandb(RUN, folder / "model.ckpt") is None
    (warned,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "training.epoch" in warned
    assert client.get_metadata_from_wandb(RUN, plain(folder, 2)) is None, "its step isn't known"


def test_a_scan_finds_what_the_client_asked_for(
    server: WandbServer, client: WandbClient, settings: Settings, folder: Path
) -> None:
    path = lightning(folder, 2)
    named = "logger: {wandb: {id: abc123de, entity: team, project: ocr}}\n"
    (folder.parent / "config.yaml").write_text(named, encoding="utf-8")
    assert extract_run_id_from_checkpoint(path) == RUN
    client.get_metadata_from_wandb(RUN, path)
    server.forget()
    with Catalog.open(settings=settings) as catalog:
        assert catalog.scan(folder.parents[1]).wandb == 1
    assert server.operations == []


def test_threads_that_ask_at_once_ask_once(server: WandbServer, client: WandbClient) -> None:
    server.latency = 0.2
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(client.get_run_summary, [RUN] * 6))
    assert told == [HISTORY[-1]] * 6
    assert server.operations == ["CatalogRuns"]


def test_clear_cache(server: WandbServer, client: WandbClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "catalogdb")
    client.get_run_config(RUN)
    client.clear_cache()
    client.get_run_config(RUN)
    assert server.operations == ["CatalogRuns"] * 2
    assert [record.getMessage() for record in caplog.records] == ["W&B's cached runs are forgotten: 1"]


def asked_for_all(client: WandbClient, path: Path) -> list[Any]:
    return [client.get_run_config(RUN), client.get_run_summary(RUN), client.get_metadata_from_wandb(RUN, path)]


def levels(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {record.levelname for record in caplog.records}


@pytest.mark.parametrize("lacking", ["key", "package", "network"])
def test_unavailable(
    server: WandbServer,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lacking: str,
) -> None:
    caplog.set_level(logging.DEBUG, "catalogdb")
    if lacking == "key":
        monkeypatch.delenv("WANDB_API_KEY")
    elif lacking == "package":
        monkeypatch.setitem(sys.modules, "wandb", None)
    else:
        settings = replace(settings, wandb_mode="offline")
    client = WandbClient(settings)
    assert client.is_available is (lacking == "network")
    assert asked_for_all(client, tmp_path / "model.ckpt") == [None] * 3
    assert client.api is None
    client.close()
    assert server.operations == []
    assert levels(caplog) == {"DEBUG"}


def test_runs_of_the_working_directory_are_no_package(client: WandbClient, tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    script = "import sys; from catalogdb.resolve.wandb import sdk; sys.path[:] = ['']; print(sdk.is_installed())"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_offline_what_is_cached_serves(server: WandbServer, client: WandbClient, settings: Settings) -> None:
    client.get_run_config(RUN)
    offline = WandbClient(replace(settings, offline=True))
    assert offline.get_run_summary(RUN) == HISTORY[-1]
    offline.close()
    assert len(server.operations) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("hang"), "did not answer"),
        (Fault("drip"), "did not answer"),
        (Fault("drop"), "can't be reached"),
        (Fault("status", 500), "HTTP 500"),
        (Fault("status", 429, {"Retry-After": "60"}), "HTTP 429"),
        (Fault("status", 401), "refuses the API key"),
        (Fault("status", 403), "forbids"),
        (Fault("not json"), "no JSON"),
        (Fault("errors"), "boom"),
    ],
    ids=lambda value: value.kind + str(value.status) if isinstance(value, Fault) else "",
)
def test_a_server_that_fails(
    server: WandbServer,
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    said: str,
) -> None:
    caplog.set_level(logging.DEBUG, "catalogdb")
    client = WandbClient(replace(settings, wandb_timeout=3.0))
    server.faults.append(fault)
    started = time.monotonic()
    assert client.get_run_config(RUN) is None
    assert time.monotonic() - started < 10, "a server that hangs would take thirty"
    assert asked_for_all(client, tmp_path / "model.ckpt") == [None] * 3
    assert len(server.operations) == (4 if fault.kind == "errors" else 1), "one that is down isn't asked again at once"
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(said in text for text in warned), warned
    assert KEY not in caplog.text
    client.close()


def test_a_server_that_is_not_there(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = WandbClient(replace(settings, wandb_base_url=f"http://127.0.0.1:{free.getsockname()[1]}"))
        assert client.get_run_config(RUN) is None
        assert client.api is None
    client.close()
    assert levels(caplog) == {"WARNING"}


def test_a_run_that_is_not_there(server: WandbServer, client: WandbClient, caplog: pytest.LogCaptureFixture) -> None:
    for run_id in ("team/ocr/nothere1", "team/nothere/abc123de", "nobodys1", "a/b/c/d", ""):
        assert client.get_run_config(run_id) is None
    assert server.operations == ["CatalogRuns"] * 2, "where nobody says whose it is, nobody is asked"
    assert levels(caplog) == {"WARNING"}


def test_a_catalog_that_cannot_be_used(settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "catalog.db").write_text("no database", encoding="utf-8")
    client = WandbClient(settings)
    assert client.get_run_config(RUN) is None
    client.close()
    assert levels(caplog) == {"WARNING"}


def test_a_catalog_that_somebody_holds(client: WandbClient, settings: Settings, tmp_path: Path) -> None:
    assert client.get_run_config(RUN) is not None
    impatient = WandbClient(replace(settings, wandb_timeout=0.5))
    holder = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    assert impatient.get_run_config("team/ocr/other000") is None
    assert time.monotonic() - started < 10, "SQLite would wait for thirty"
    holder.execute("ROLLBACK")
    holder.close()
    impatient.close()


def test_nothing_happens_before_it_is_needed(tmp_path: Path) -> None:
    script = (
        "import sys, catalogdb; client = catalogdb.get_wandb_client(); assert client is catalogdb.get_wandb_client(); "
        "print({'wandb', 'httpx'} & set(sys.modules))"
    )
    environ = {**os.environ, "HOME": str(tmp_path), "CATALOGDB_URL": str(tmp_path / "catalog.db")}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert not (tmp_path / "catalog.db").exists()


def test_there_is_one_client() -> None:
    assert get_wandb_client() is get_wandb_client()


def test_the_api_is_the_sdks(server: WandbServer, tmp_path: Path) -> None:
    """In a process of its own: the SDK starts a program and sets environment variables."""
    script = (
        "import catalogdb; client = catalogdb.get_wandb_client(); api = client.api; import wandb; "
        f"assert isinstance(api, wandb.Api) and client.api is api; print(api.run({RUN!r}).summary['val/precision'])"
    )
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("CATALOGDB_", "WANDB_"))},
        "HOME": str(tmp_path),
        "CATALOGDB_URL": str(tmp_path / "catalog.db"),
        "CATALOGDB_WANDB_TIMEOUT": "60",
        "WANDB_API_KEY": KEY,
        "WANDB_BASE_URL": server.url,
        "WANDB_DIR": str(tmp_path),
        "WANDB_CACHE_DIR": str(tmp_path),
        "WANDB_ERROR_REPORTING": "false",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0.5"
    assert server.operations[0] == "CatalogViewer", "the bounded client goes first"
