"""Scans against a W&B server that is slow, broken, hostile, or gone: bounded, said once, nothing lost, no key told."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.records import Checkpoint, ScanReport
from catalogdb.settings import Settings, load_settings
from tests.wandb_server import KEY, Fault, ServedRun, WandbServer, huge, serving

IDS = [f"run{number:05d}" for number in range(12)]


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with serving() as server:
        for number, run_id in enumerate(IDS):
            server.add("team", "ocr", ServedRun(run_id, {"lr": 0.1}, {"val/hmean": number / 100}))
        yield server


def lay_out(folder: Path, ids: Sequence[str]) -> None:
    """Checkpoints that name their run in a config beside them, and have nothing else to say."""
    torch = pytest.importorskip("torch")
    for run_id in ids:
        place = folder / run_id
        place.mkdir(parents=True)
        torch.save({"state_dict": {"weight": torch.zeros(2, 2)}}, place / "model.ckpt")
        wandb = {"id": run_id, "entity": "team", "project": "ocr"}
        (place / "config.yaml").write_text(json.dumps({"logger": {"wandb": wandb}}), encoding="utf-8")


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    lay_out(tmp_path / "outputs", IDS)
    return tmp_path / "outputs"


@pytest.fixture
def settings(tmp_path: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    found = load_settings(overrides={"url": str(tmp_path / "catalog.db"), "wandb_timeout": 60.0})
    return replace(found, wandb_base_url=server.url, wandb_retry_count=2)


def scan(settings: Settings, outputs: Path) -> tuple[ScanReport, list[Checkpoint], float]:
    started = time.monotonic()
    with Catalog.open(settings=settings) as catalog:
        report = catalog.scan(outputs)
        return report, catalog.search("", max_results=None), time.monotonic() - started


def test_all_runs_in_one_question(server: WandbServer, settings: Settings, outputs: Path) -> None:
    report, rows, _ = scan(settings, outputs)
    assert report.problems == ()
    assert {row.source for row in rows} == {"wandb"}
    assert {row.wandb_run_id for row in rows} == {f"team/ocr/{run_id}" for run_id in IDS}
    assert server.operations == ["CatalogRuns"]
    assert server.keys == {KEY}
    scan(replace(settings, url=settings.url), outputs)
    assert server.operations == ["CatalogRuns"], "a finished run is never asked for again"


def test_hundreds_of_runs_in_a_few_questions(server: WandbServer, settings: Settings, tmp_path: Path) -> None:
    """In several batches: the server is asked about one while the next one is read."""
    ids = [f"many{number:04d}" for number in range(450)]
    lay_out(tmp_path / "many", ids)
    server.add("team", "ocr", *[ServedRun(run_id, {}, {"val/hmean": int(run_id[4:]) / 1000}) for run_id in ids])
    report, rows, _ = scan(settings, tmp_path / "many")
    assert report.problems == ()
    assert (report.wandb, report.new) == (450, 450)
    assert {Path(row.path).parent.name: row.metrics for row in rows} == {
        run_id: {"val/hmean": int(run_id[4:]) / 1000} for run_id in ids
    }
    assert len(server.operations) <= 450 / 100 + 2


def test_projects_are_asked_for_at_the_same_time(server: WandbServer, settings: Settings, outputs: Path) -> None:
    """Each request waits until the others are there."""
    for number, project in enumerate(("ocr", "layout", "tables")):
        server.add("team", project, *[ServedRun(run_id, {}, {"val/hmean": 0.5}) for run_id in IDS[number::3]])
        for run_id in IDS[number::3]:
            named = json.dumps({"logger": {"wandb": {"id": run_id, "entity": "team", "project": project}}})
            (outputs / run_id / "config.yaml").write_text(named, encoding="utf-8")
    server.together = threading.Barrier(3, timeout=60)
    report, rows, _ = scan(settings, outputs)
    assert report.problems == ()
    assert {row.source for row in rows} == {"wandb"}
    assert server.operations == ["CatalogRuns"] * 3


def test_a_catalog_in_memory(server: WandbServer, settings: Settings, outputs: Path) -> None:
    report, rows, _ = scan(replace(settings, url="sqlite://"), outputs)
    assert (report.wandb, len(rows)) == (len(IDS), len(IDS))
    assert server.operations == ["CatalogRuns"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("status", 500), "answers with HTTP 500"),
        (Fault("status", 503), "answers with HTTP 503"),
        (Fault("status", 429), "answers with HTTP 429"),
        (Fault("status", 429, {"Retry-After": "30"}), "answers with HTTP 429"),
        (Fault("status", 401), "refuses the API key"),
        (Fault("hang"), "did not answer"),
        (Fault("drip"), "did not answer"),
        (Fault("drop"), "can't be reached"),
        (Fault("not json"), "no JSON"),
        (Fault("deep"), "nested too deep"),
        (Fault("huge"), "bigger than 50 MB"),
        (Fault("redirect", location="http://127.0.0.1:1/graphql"), "redirects to another address"),
        (Fault("errors"), "says"),
    ],
    ids=lambda value: value.kind + str(value.status) if isinstance(value, Fault) else "",
)
def test_a_broken_server_costs_its_timeout_and_is_told_once(
    server: WandbServer, settings: Settings, outputs: Path, fault: Fault, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    huge()
    server.faults.append(fault)
    hasty = replace(settings, wandb_timeout=20.0 if fault.kind == "huge" else 1.0)
    report, rows, seconds = scan(hasty, outputs)
    assert len(rows) == len(IDS)
    assert all(row.wandb_run_id for row in rows)
    told = [problem.reason for problem in report.problems if problem.tier == "wandb"]
    assert len(told) == 1, told
    assert said in told[0]
    assert seconds < 25, "one that hangs would take thirty"
    assert KEY not in caplog.text + repr(report)
    assert KEY.encode() not in b"".join(path.read_bytes() for path in outputs.parent.glob("catalog.db*"))
    server.faults.clear()
    report, rows, _ = scan(settings, outputs)
    assert {row.source for row in rows} == {"wandb"}, "the next scan asks again"
    assert report.problems == ()


@pytest.mark.parametrize(
    "fault", [Fault("status", 500, times=1), Fault("status", 429, {"Retry-After": "0.1"}, times=2)]
)
def test_what_passes_is_asked_again(server: WandbServer, settings: Settings, outputs: Path, fault: Fault) -> None:
    server.faults.append(fault)
    report, rows, _ = scan(settings, outputs)
    assert report.problems == ()
    assert {row.source for row in rows} == {"wandb"}
    assert len(server.operations) == 1 + (fault.times or 0)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_no_means_no(server: WandbServer, settings: Settings, outputs: Path, status: int) -> None:
    server.faults.append(Fault("status", status))
    scan(settings, outputs)
    assert len(server.operations) == 1


def test_a_forbidden_project_is_remembered(server: WandbServer, settings: Settings, outputs: Path) -> None:
    server.refused["team", "ocr"] = 403
    report, _, _ = scan(settings, outputs)
    assert [problem.path for problem in report.problems] == ["team/ocr"]
    scan(settings, outputs)
    assert server.operations == ["CatalogRuns"]


def test_runs_and_projects_that_are_not_there(server: WandbServer, settings: Settings, outputs: Path) -> None:
    del server.runs["team", "ocr"][IDS[0]]
    report, rows, _ = scan(settings, outputs)
    assert report.problems == ()
    assert sorted(str(row.source) for row in rows) == ["legacy", *["wandb"] * (len(IDS) - 1)]
    scan(settings, outputs)
    assert server.operations == ["CatalogRuns"], "that it isn't there is known for a while"


def test_an_unknown_project(server: WandbServer, settings: Settings, outputs: Path) -> None:
    server.runs["team", "elsewhere"] = server.runs.pop(("team", "ocr"))
    report, rows, _ = scan(settings, outputs)
    assert report.problems == ()
    assert {row.source for row in rows} == {"legacy"}
    assert not any(row.stale for row in rows), "that there is none was an answer"
    scan(settings, outputs)
    assert server.operations == ["CatalogRuns"], "which is known for a while"
    scan(replace(settings, url=f"{settings.url}.other", wandb_cache_ttl=0.0), outputs)
    scan(replace(settings, url=f"{settings.url}.other", wandb_cache_ttl=0.0), outputs)
    assert server.operations == ["CatalogRuns"] * 3, "and asked for again after that"


def going_on(server: WandbServer, score: float) -> None:
    server.add("team", "ocr", *[ServedRun(run_id, {}, {"val/hmean": score}, state="running") for run_id in IDS])


def test_a_run_that_goes_on_is_asked_for_again_when_it_has_expired(
    server: WandbServer, settings: Settings, outputs: Path
) -> None:
    going_on(server, 0.25)
    scan(settings, outputs)
    going_on(server, 0.5)
    _, rows, _ = scan(settings, outputs)
    assert {row.metrics["val/hmean"] for row in rows} == {0.25}
    assert len(server.operations) == 1, "within the hour"
    settings = replace(settings, url=f"{settings.url}.other", wandb_cache_ttl=0.0)
    scan(settings, outputs)
    going_on(server, 0.75)
    _, rows, _ = scan(settings, outputs)
    assert {row.metrics["val/hmean"] for row in rows} == {0.75}
    assert len(server.operations) == 3


@pytest.mark.parametrize("outage", ["offline", "down"])
def test_what_has_expired_still_serves_and_is_stale(
    server: WandbServer, settings: Settings, outputs: Path, outage: str
) -> None:
    settings = replace(settings, wandb_cache_ttl=0.0)
    going_on(server, 0.25)
    _, before, _ = scan(settings, outputs)
    assert not any(row.stale for row in before)
    if outage == "down":
        server.faults.append(Fault("drop"))
    report, rows, _ = scan(replace(settings, offline=outage == "offline"), outputs)
    assert [replace(row, stale=False) for row in rows] == before
    assert all(row.stale for row in rows)
    assert len(report.problems) == (outage == "down")
    server.faults.clear()
    going_on(server, 0.5)
    report, rows, _ = scan(settings, outputs)
    assert report.problems == ()
    assert {(row.metrics["val/hmean"], row.stale) for row in rows} == {(0.5, False)}


@pytest.mark.parametrize(("only", "asked"), [("ocr", 1), ("team/ocr", 1), ("layout", 0), ("other/ocr", 0)])
def test_one_project_alone_may_be_asked_for(
    server: WandbServer, settings: Settings, outputs: Path, only: str, asked: int
) -> None:
    report, _, _ = scan(replace(settings, wandb_project_filter=only), outputs)
    assert report.problems == ()
    assert len(server.operations) == asked


@pytest.mark.parametrize(
    ("entity", "operations"), [("team", ["CatalogRuns"]), (None, ["CatalogViewer", "CatalogRuns"])]
)
def test_bare_ids_are_completed(
    server: WandbServer, settings: Settings, outputs: Path, entity: str | None, operations: list[str]
) -> None:
    for run_id in IDS:
        named = json.dumps({"logger": {"wandb": {"id": run_id}}})
        (outputs / run_id / "config.yaml").write_text(named, encoding="utf-8")
    settings = replace(settings, wandb_project="ocr", wandb_entity=entity)
    report, rows, _ = scan(settings, outputs)
    assert report.problems == ()
    assert {row.wandb_run_id for row in rows} == {f"team/ocr/{run_id}" for run_id in IDS}
    assert server.operations == operations


@pytest.mark.parametrize("repeat", [False, True])
def test_a_clamped_page_is_followed_and_a_run_that_comes_twice_counts_once(
    server: WandbServer, settings: Settings, outputs: Path, repeat: bool
) -> None:
    server.max_page, server.repeat_last = 5, repeat
    report, rows, _ = scan(settings, outputs)
    assert report.problems == ()
    assert {row.wandb_run_id for row in rows if row.source == "wandb"} == {f"team/ocr/{run_id}" for run_id in IDS}
    assert len(server.operations) <= 4


def test_a_redirect_is_not_followed(server: WandbServer, settings: Settings, outputs: Path) -> None:
    with serving() as thief:
        server.faults.append(Fault("redirect", location=f"{thief.url}/graphql"))
        scan(settings, outputs)
        assert thief.operations == []
        assert thief.keys == set()


def test_nobody_there(settings: Settings, outputs: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        report, rows, seconds = scan(replace(settings, wandb_base_url=url), outputs)
    assert len(rows) == len(IDS)
    assert len(report.problems) == 1
    assert seconds < 25, "it is asked as often as the settings say, whatever the time"


@pytest.mark.parametrize("silence", [{"offline": True}, {"wandb_mode": "offline"}, {"wandb_mode": "disabled"}, {}])
def test_offline_or_without_a_key_nothing_is_asked(
    server: WandbServer,
    settings: Settings,
    outputs: Path,
    silence: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if not silence:
        monkeypatch.delenv("WANDB_API_KEY")
        monkeypatch.setenv("HOME", str(tmp_path))
    report, rows, _ = scan(replace(settings, **silence), outputs)  # type: ignore[arg-type]
    assert server.operations == []
    assert report.problems == ()
    assert len(rows) == len(IDS)
