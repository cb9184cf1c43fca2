"""``catalogdb wandb``: on a catalog that was scanned against a server on loopback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli.harness import Demo, Run, assert_one_line
from tests.wandb_server import KEY, Fault, ServedRun, WandbServer, serving

IDS = ("aaa00001", "bbb00002", "ccc00003")
GONE = "ddd00004"


@pytest.fixture
def server(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """Three runs of two projects and one that isn't there, each of a checkpoint that was scanned."""
    torch = pytest.importorskip("torch")
    with serving() as server:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("CATALOGDB_URL", str(home / "catalog.db"))
        monkeypatch.setenv("CATALOGDB_WANDB_TIMEOUT", "60")
        for run_id in (*IDS, GONE):
            project = "layout" if run_id == IDS[2] else "ocr"
            place = home / "outputs" / run_id
            place.mkdir(parents=True)
            torch.save({"state_dict": {"weight": torch.zeros(2, 2)}}, place / "model.ckpt")
            named = {"logger": {"wandb": {"id": run_id, "entity": "team", "project": project}}}
            (place / "config.yaml").write_text(json.dumps(named), encoding="utf-8")
            if run_id != GONE:
                server.add("team", project, ServedRun(run_id, {"lr": 0.1}, {"val/hmean": 0.25}))
        assert run("scan", "outputs").code == 0
        server.forget()
        yield server


def used(run: Run) -> dict[str, dict[str, Any]]:
    ended = run("wandb", "status", "--format", "json")
    assert ended.code == 0
    return {f"{row['entity']}/{row['project']}": row for row in json.loads(ended.out)}


def scores(run: Run) -> dict[str, float]:
    rows = json.loads(run("ls", "--format", "json").out)
    return {Path(row["path"]).parent.name: row["metrics"].get("val/hmean") for row in rows}


def rename(server: WandbServer, project: str, run_id: str, score: float) -> None:
    runs = server.runs["team", project]
    runs[run_id] = replace(runs[run_id], summary={"val/hmean": score})


def test_status_counts_by_project(server: WandbServer, run: Run) -> None:
    ocr, layout = used(run)["team/ocr"], used(run)["team/layout"]
    assert (ocr["base_url"], ocr["runs"], ocr["found"], ocr["absent"]) == (server.url, 3, 2, 1)
    assert (ocr["hits"], ocr["misses"], ocr["expired"]) == (0, 3, 0)
    assert (layout["runs"], layout["found"], layout["misses"]) == (1, 1, 1)
    assert ocr["size_bytes"] > 0
    assert ocr["oldest"] <= ocr["newest"]
    assert run("scan", "outputs", "--full").code == 0
    assert {name: row["hits"] for name, row in used(run).items()} == {"team/ocr": 3, "team/layout": 1}
    assert server.operations == []


def test_status_as_a_table(server: WandbServer, run: Run) -> None:
    ended = run("wandb", "status")
    assert ended.code == 0
    header, layout, ocr = ended.lines
    assert header.split()[:3] == ["project", "server", "runs"]
    assert ocr.split()[:7] == ["team/ocr", server.url, "3", "1", "0", "0", "3"]
    assert layout.split()[0] == "team/layout"
    assert ocr.endswith(" s")


def test_status_of_runs_known_from_their_folders(ask: Run) -> None:
    (row,) = json.loads(ask("wandb", "status", "--format", "json").out)
    assert (row["base_url"], row["entity"], row["project"], row["found"]) == ("", "demo", "text-detection", 5)


def test_status_of_nothing(home: Path, run: Run) -> None:
    (home / "outputs").mkdir()
    assert run("scan", "outputs", "--db", "c.db").code == 0
    ended = run("wandb", "status", "--db", "c.db", "--format", "json")
    assert (ended.code, json.loads(ended.out)) == (0, [])
    assert "no runs are cached" in ended.err


def test_refresh_asks_for_finished_runs_and_updates_the_rows(server: WandbServer, run: Run) -> None:
    for run_id in IDS[:2]:
        rename(server, "ocr", run_id, 0.75)
    rename(server, "layout", IDS[2], 0.75)
    server.add("team", "ocr", ServedRun(GONE, {}, {"val/hmean": 0.5}))
    ended = run("wandb", "refresh")
    assert (ended.code, ended.out) == (0, "4 runs asked for: 4 fetched, 0 not there\n")
    assert server.operations == ["CatalogRuns"] * 2
    assert scores(run) == {**dict.fromkeys(IDS, 0.75), GONE: 0.5}


@pytest.mark.parametrize(
    ("which", "new"),
    [
        (["--project", "ocr"], IDS[:2]),
        (["--project", "team/layout"], IDS[2:]),
        ([IDS[0]], IDS[:1]),
        ([f"team/ocr/{IDS[1]}"], IDS[1:2]),
    ],
    ids=["project", "entity and project", "id", "path"],
)
def test_refresh_of_some(server: WandbServer, run: Run, which: list[str], new: tuple[str, ...]) -> None:
    for run_id in IDS:
        rename(server, "layout" if run_id == IDS[2] else "ocr", run_id, 0.75)
    assert run("wandb", "refresh", *which).code == 0
    found = scores(run)
    assert {run_id for run_id in IDS if found[run_id] == 0.75} == set(new)
    assert server.operations == ["CatalogRuns"]


def test_refresh_of_a_run_that_is_not_cached(server: WandbServer, run: Run) -> None:
    server.add("team", "ocr", ServedRun("eee00005", {}, {"val/hmean": 0.5}))
    ended = run("wandb", "refresh", "team/ocr/eee00005", "--format", "json")
    assert json.loads(ended.out) == {"asked": 1, "fetched": 1, "gone": 0, "problems": []}
    assert used(run)["team/ocr"]["found"] == 3


def test_a_bare_id_is_completed_from_the_settings_and_the_key(
    server: WandbServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("team", "ocr", ServedRun("eee00005"))
    assert run("wandb", "refresh", "eee00005").code == 1, "nobody says whose it is"
    monkeypatch.setenv("WANDB_PROJECT", "ocr")
    assert run("wandb", "refresh", "eee00005").code == 0
    assert server.operations == ["CatalogViewer", "CatalogRuns"]


def test_refresh_keeps_what_is_known_where_the_server_fails(server: WandbServer, run: Run) -> None:
    server.faults.append(Fault("status", 500))
    ended = run("wandb", "refresh", "--project", "ocr")
    assert ended.code == 3
    assert "answers with HTTP 500" in ended.err
    assert ended.err.splitlines()[-1].startswith("catalogdb: error: 3 runs could not be asked for")
    assert len(server.operations) == 3, "it is asked again as often as the settings say, and by nobody else"
    assert scores(run)[IDS[0]] == 0.25


def test_refresh_respects_the_only_project_to_ask(
    server: WandbServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATALOGDB_WANDB_PROJECT_FILTER", "team/layout")
    ended = run("wandb", "refresh")
    assert ended.out == "1 run asked for: 1 fetched, 0 not there\n"
    assert server.operations == ["CatalogRuns"]


def test_refresh_offline_reads_run_folders_again(demo: Demo, run: Run, tmp_path: Path) -> None:
    shutil.copytree(demo.outputs, tmp_path / "outputs")
    database = str(tmp_path / "catalog.db")
    assert run("scan", str(tmp_path / "outputs"), "--db", database, "--no-wandb").code == 0
    assert run("scan", str(tmp_path / "outputs"), "--db", database, "--offline", "--full").code == 0
    before = json.loads(run("wandb", "status", "--db", database, "--format", "json").out)
    ended = run("wandb", "refresh", "--offline", "--db", database)
    assert (ended.code, ended.out) == (0, "0 runs asked for: 0 fetched, 0 not there\n")
    after = json.loads(run("wandb", "status", "--db", database, "--format", "json").out)
    assert after[0]["misses"] >= 2 * before[0]["misses"] > 0


def test_refresh_without_a_key(server: WandbServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    assert_one_line(run("wandb", "refresh"), 2, "no API key", "WANDB_API_KEY")
    assert server.operations == []


def test_what_names_no_run(server: WandbServer, run: Run) -> None:
    assert_one_line(run("wandb", "refresh", "a/b/c/d"), 2, "'a/b/c/d'", "ENTITY/PROJECT/ID")


@pytest.mark.parametrize("command", ["refresh", "clear"])
def test_nothing_matched(server: WandbServer, run: Run, command: str) -> None:
    ended = run("wandb", command, "--project", "other")
    assert (ended.code, ended.out) == (1, "")
    assert "no such run is cached" in ended.err


def test_clear(server: WandbServer, run: Run) -> None:
    assert run("wandb", "clear", IDS[0]).out == "1 run forgotten\n"
    assert used(run)["team/ocr"]["runs"] == 2
    assert run("wandb", "clear", "--project", "team/ocr").out == "2 runs forgotten\n"
    assert used(run)["team/ocr"]["runs"] == 0
    assert run("wandb", "clear").out == "1 run forgotten\n"
    assert used(run) == {}
    assert scores(run)[IDS[0]] == 0.25, "rows keep what they have"
    assert run("scan", "outputs", "--full").code == 0
    assert server.operations == ["CatalogRuns"] * 2
