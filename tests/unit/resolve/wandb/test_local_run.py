"""A run out of its folders: where they lie, several sessions of one id, and what is left where the log is gone."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from catalogdb.records import HistoryNeed, RunFile
from catalogdb.resolve.wandb import RunFolders
from catalogdb.resolve.wandb.local_run import LocalRun, read_local_run
from catalogdb.resolve.wandb.run_file import AXIS
from tests import wandb_log

RUN = "abc123de"
KEY = "val/hmean"


def session(place: Path, at: str, *steps: int, end: int | None = 0, score: float = 0.0, **config: Any) -> Path:
    records = [wandb_log.run(RUN, config=config, project="ocr", entity="team")]
    for step in steps:
        values = {KEY: score + step / 100, AXIS: step, "epoch": step // 10}
        records += [wandb_log.history(step, values), wandb_log.summary(values)]
    return wandb_log.write_run(place, RUN, [*records, *([] if end is None else [wandb_log.ended(end)])], at=at)


def read(place: Path, *ats: int, now: datetime | None = None, ttl: float = 3600.0) -> LocalRun:
    def unknown(_path: str) -> RunFile | None:
        return None

    sessions = RunFolders().sessions(str(place), RUN)
    needs = [HistoryNeed(KEY, at) for at in ats]
    found = read_local_run(sessions, needs, unknown, now=now or datetime.now(timezone.utc), ttl=ttl)
    assert found is not None
    return found


def test_the_nearest_folder_above_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b" / "checkpoints"
    inner.mkdir(parents=True)
    session(tmp_path, "20261018_143215", 9)
    near = session(tmp_path / "a", "20261018_150000", 9)
    assert [one.log for one in RunFolders().sessions(str(inner), RUN)] == [str(near)]


def test_the_folder_that_training_was_told_to_use(tmp_path: Path) -> None:
    log = session(tmp_path / "elsewhere", "20261018_143215", 9)
    (tmp_path / "outputs").mkdir()
    folders = RunFolders((str(tmp_path / "elsewhere"),))
    assert [one.log for one in folders.sessions(str(tmp_path / "outputs"), RUN)] == [str(log)]


def test_a_second_session_within_the_same_second(tmp_path: Path) -> None:
    first = session(tmp_path, "20261018_143215", 9)
    again = first.parent.with_name(first.parent.name + "-1")
    again.mkdir()
    (again / first.name).write_bytes(first.read_bytes())
    assert [one.path for one in RunFolders().sessions(str(tmp_path), RUN)] == [str(first.parent), str(again)]


def test_an_id_may_end_like_the_number_of_a_session(tmp_path: Path) -> None:
    log = wandb_log.write_run(tmp_path, "mine-1", [wandb_log.run("mine-1")])
    assert [one.log for one in RunFolders().sessions(str(tmp_path), "mine-1")] == [str(log)]
    assert RunFolders().sessions(str(tmp_path), "mine") == ()


def test_a_run_that_was_resumed_is_one_run(tmp_path: Path) -> None:
    session(tmp_path, "20261018_143215", 9, 19, end=None, lr=0.1, width=3)
    session(tmp_path, "20261019_090000", 29, 39, lr=0.2)
    found = read(tmp_path, 19, 29)
    assert found.run.config == {"width": 3}, "of two rates neither is the run's"
    assert (found.run.state, found.complete, found.run.expires_at) == ("finished", True, None)
    answers = {need.at: [row.values[KEY] for row in rows] for need, rows in found.run.history.items()}
    assert answers == {19: [0.19], 29: [0.29]}
    assert found.run.key[1:] == ("team", "ocr", RUN)


def test_a_step_that_both_sessions_went_over_has_both_rows(tmp_path: Path) -> None:
    session(tmp_path, "20261018_143215", 9, 19, end=None)
    session(tmp_path, "20261019_090000", 19, 29, score=0.5)
    rows = read(tmp_path, 19).run.history[HistoryNeed(KEY, 19)]
    assert [row.values[KEY] for row in rows] == [0.19, 0.69]


@pytest.mark.parametrize(
    ("end", "age", "state"), [(0, 0, "finished"), (1, 0, "failed"), (None, 10, "running"), (None, 7200, "crashed")]
)
def test_how_a_run_stands(tmp_path: Path, end: int | None, age: int, state: str) -> None:
    log = session(tmp_path, "20261018_143215", 9, end=end)
    now = datetime.now(timezone.utc)
    written = (now - timedelta(seconds=age)).timestamp()
    os.utime(log, (written, written))
    found = read(tmp_path, now=now)
    assert found.run.state == state
    assert (found.run.expires_at is None) is (state != "running")
    assert found.complete is (end is not None)


def test_where_the_log_is_gone_the_files_serve(tmp_path: Path) -> None:
    log = session(tmp_path, "20261018_143215", 9)
    log.unlink()
    files = log.parent / "files"
    files.mkdir()
    text = "_wandb:\n  value: {cli_version: 0.31.0}\nlr:\n  value: 0.1\nmodel:\n  value:\n    depth: 18\n"
    (files / "config.yaml").write_text(text, encoding="utf-8")
    (files / "wandb-summary.json").write_text('{"val/hmean": 0.5, "bad": NaN, "nested": {"a": 1}}', encoding="utf-8")
    found = read(tmp_path, 9)
    assert found.run.config["model"] == {"depth": 18}
    assert found.run.summary[KEY] == 0.5
    assert found.run.summary["nested"] == {"a": 1}
    assert found.run.history == {HistoryNeed(KEY, 9): ()}
    assert (found.run.state, found.problems) == (None, ())


def test_a_file_that_is_no_record_log_is_told_of(tmp_path: Path) -> None:
    log = session(tmp_path, "20261018_143215", 9)
    log.write_bytes(b"something else")
    session(tmp_path, "20261019_090000", 19)
    found = read(tmp_path, 19)
    assert [path for path, _ in found.problems] == [str(log)]
    assert found.run.summary[KEY] == 0.19


def test_seven_bytes_say_nothing(tmp_path: Path) -> None:
    log = session(tmp_path, "20261018_143215")
    log.write_bytes(wandb_log.HEADER)
    found = read(tmp_path, 9)
    assert (found.run.config, found.run.summary, found.complete) == ({}, {}, False)


def test_a_start_that_no_calendar_has_is_none(tmp_path: Path) -> None:
    wandb_log.write_run(tmp_path, RUN, [wandb_log.run(RUN, start_time={"seconds": 10**15})])
    assert "created_at" not in read(tmp_path).run.attributes


def test_a_log_of_any_time_has_a_stamp_that_the_cache_can_keep(tmp_path: Path) -> None:
    log = session(tmp_path, "20261018_143215", 9, end=None)
    os.utime(log, ns=(0, 2**63 + 5 * 10**18))
    found = read(tmp_path, 9)
    assert found.files[0].stamp.mtime_ns < 2**63
    assert found.run.state == "running"
