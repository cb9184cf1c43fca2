"""What a run's record log says, read at once or while it grows."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wandb.proto.wandb_internal_pb2 import Record

from catalogdb.records import HistoryNeed, RunFile
from catalogdb.resolve.wandb.record_items import values_of
from catalogdb.resolve.wandb.record_log import NotARecordLog
from catalogdb.resolve.wandb.run_file import AXIS, read_run_file
from tests import wandb_log
from tests.wandb_runs import summary_of

KEY = "val/hmean"


def rows(epochs: int) -> list[bytes]:
    """Ten batches an epoch: Lightning's rows, each with its summaries; W&B's step runs at twice the trainer's."""
    records = [wandb_log.run("abc123de", config={"lr": 0.1, "model": {"depth": 18}}, project="ocr", entity="team")]
    for epoch in range(epochs):
        for batch in range(0, 10, 5):
            at = epoch * 10 + batch
            records.append(wandb_log.history(at, {"train/loss": 1 / (at + 1), AXIS: at, "epoch": epoch}))
        at = epoch * 10 + 9
        values: dict[str, Any] = {KEY: epoch / epochs, "val/loss": 1.0, AXIS: at, "epoch": epoch}
        records.append(wandb_log.history(at + 1, values))
        records.append(wandb_log.summary({**values, "nested.a": epoch}))
    return [*records, wandb_log.ended(0)]


def read(path: Path, *ats: int, known: RunFile | None = None) -> tuple[RunFile, dict[int, Any]]:
    file, answers = read_run_file(str(path), known=known, needs=[HistoryNeed(KEY, at) for at in ats])
    return file, {need.at: [(row.at, row.values[KEY]) for row in found] for need, found in answers.items()}


def test_config_summary_end_and_the_rows_that_are_needed(tmp_path: Path) -> None:
    path = wandb_log.write_run(tmp_path, "abc123de", rows(4))
    file, answers = read(path, 9, 19, 25, 5, 999)
    assert answers == {9: [(9, 0.0)], 19: [(19, 0.25)], 25: [(19, 0.25)], 5: [], 999: [(39, 0.75)]}
    assert values_of(file.content["config"]) == {"lr": 0.1, "model": {"depth": 18}}
    assert values_of(file.content["summary"])[KEY] == 0.75
    assert file.content["exit"] == 0
    assert file.content["run"]["entity"] == "team"
    step, logged = file.content["last"]
    last = {KEY: 0.75, "val/loss": 1.0, AXIS: 39, "epoch": 3, "_step": 40}
    assert (step, values_of(logged)) == ("39", last), "not what is in the summary alone"
    assert file.read_to == path.stat().st_size


def test_the_summary_is_the_sdks_own(tmp_path: Path) -> None:
    path = wandb_log.write_run(tmp_path, "abc123de", rows(4))
    told = summary_of(path)
    file, _ = read(path)
    assert values_of(file.content["config"]) == told["config"]
    summary = values_of(file.content["summary"])
    assert {name: summary[name] for name in (KEY, "val/loss", AXIS, "epoch")} == {
        name: told["summary"][name] for name in (KEY, "val/loss", AXIS, "epoch")
    }


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cuts=st.lists(st.integers(0, 2**16), max_size=6), seed=st.integers(0, 1000))
def test_read_in_pieces_as_it_grows_it_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], seed: int
) -> None:
    path = tmp_path_factory.mktemp("grows") / "run.wandb"
    log = wandb_log.framed(rows(random.Random(seed).randint(1, 40)))
    known: RunFile | None = None
    for length in sorted({min(cut, len(log)) for cut in cuts}):
        with path.open("r+b" if path.exists() else "wb") as file:
            file.seek(0)
            file.write(log[:length])
        known, _ = read(path, 9, known=known)
        json.dumps(dict(known.content))
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(log)
    grown, answers = read(path, 9, 35, known=known)
    whole, expected = read(path, 9, 35)
    assert answers == expected
    for name in ("run", "config", "summary", "exit", "last"):
        assert grown.content[name] == whole.content[name]


@pytest.mark.parametrize("length", [0, 3, 7])
def test_a_file_that_has_only_begun(tmp_path: Path, length: int) -> None:
    path = tmp_path / "run.wandb"
    path.write_bytes(wandb_log.HEADER[:length])
    file, answers = read(path, 9)
    assert answers == {9: []}
    assert not file.content.get("config")


def test_another_file_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "run.wandb"
    path.write_bytes(b"not a log at all")
    with pytest.raises(NotARecordLog):
        read(path, 9)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "[" * 5000, '{"a":', '"x"', "true", "1e999", "9" * 5000])
def test_odd_values_end_no_reading(tmp_path: Path, value: str) -> None:
    record = Record()
    record.history.item.add(nested_key=[KEY], value_json=value)
    record.history.item.add(nested_key=[AXIS], value_json=value)
    path = wandb_log.write_run(tmp_path, "abc123de", [record.SerializeToString(), *rows(2)])
    _, answers = read(path, 9)
    assert answers == {9: [(9, 0.0)]}


def test_a_record_of_noise_is_passed_over(tmp_path: Path) -> None:
    noise = [random.Random(seed).randbytes(80) for seed in range(300)]
    path = wandb_log.write_run(tmp_path, "abc123de", [*noise, *rows(2)])
    _, answers = read(path, 9)
    assert (9, 0.0) in answers[9]
