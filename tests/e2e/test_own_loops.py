"""Training loops of one's own: a row of an epoch counts only where it is proven that it is this file's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from catalogdb import Catalog

FIVE = range(5)
LOG = "".join(json.dumps({"train_loss": 9.0 - n, "test_acc": n / 8, "epoch": n}) + "\n" for n in FIVE)
FROM_0 = "epoch,val_acc\n" + "".join(f"{n},{n / 8}\n" for n in FIVE)
FROM_1 = "epoch,val_acc\n" + "".join(f"{n + 1},{n / 8}\n" for n in FIVE)


def metrics_of(root: Path, name: str, counters: dict[str, int], beside: dict[str, str]) -> tuple[Any, Any, Any]:
    """Epoch, stated epoch and metrics of one checkpoint beside these files."""
    torch.save({"model": {"w": torch.zeros(2)}, **counters}, root / name)
    for file, text in beside.items():
        (root / file).write_text(text, encoding="utf-8")
    with Catalog.open("sqlite://") as catalog:
        assert catalog.scan(root).problems == ()
        row = catalog.get(root / name)
    return row.epoch, row.stated_epoch, row.metrics


@pytest.mark.parametrize("name", ["checkpoint0003.pth", "model_3.pt", "epoch_3_acc_0.81.pt", "best.pt", "resnet50.pth"])
@pytest.mark.parametrize(("file", "text"), [("log.txt", LOG), ("metrics.csv", FROM_0), ("results.csv", FROM_0)])
def test_of_a_log_that_counts_from_0_the_row_of_the_file_s_epoch(
    tmp_path: Path, name: str, file: str, text: str
) -> None:
    metric = "test_acc" if file == "log.txt" else "val_acc"
    epoch, _, metrics = metrics_of(tmp_path, name, {"epoch": 3}, {file: text})
    assert (epoch, metrics[metric]) == (3, 3 / 8)


@pytest.mark.parametrize("file", ["results.csv", "metrics.csv", "summary.csv"])
def test_a_log_that_counts_from_1_may_count_otherwise_than_the_file(tmp_path: Path, file: str) -> None:
    assert metrics_of(tmp_path, "model_3.pt", {"epoch": 3}, {file: FROM_1}) == (3, None, {})


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_file_called_by_its_epoch_that_states_how_many_are_done(tmp_path: Path, epoch: int) -> None:
    """As DINO's ``main_dino.py`` and MoCo's ``main_moco.py`` save them."""
    found = metrics_of(tmp_path, f"checkpoint{epoch:04}.pth", {"epoch": epoch + 1}, {"log.txt": LOG})
    assert found == (None, epoch + 1, {})


@pytest.mark.parametrize(
    ("name", "counters"),
    [
        ("step_3000.pt", {"epoch": 3, "global_step": 3000}),
        ("last.pt", {"epoch": 3, "global_step": 3500}),
        ("last.pt", {"epoch": 3, "step": 500}),
        ("e3_it500.pt", {"epoch": 3, "iter": 500}),
        ("epoch_3_step_3500.pt", {"epoch": 3}),
        ("model_3500.pt", {"epoch": 3}),
    ],
)
@pytest.mark.parametrize(("file", "text"), [("log.txt", LOG), ("metrics.csv", FROM_0)])
def test_what_may_have_been_saved_within_its_epoch_has_no_row_of_its_end(
    tmp_path: Path, name: str, counters: dict[str, int], file: str, text: str
) -> None:
    assert metrics_of(tmp_path, name, counters, {file: text}) == (3, None, {})


def test_a_file_called_by_its_epoch_is_of_its_end_also_where_it_states_a_step(tmp_path: Path) -> None:
    found = metrics_of(tmp_path, "epoch_3.pt", {"epoch": 3, "global_step": 4000}, {"metrics.csv": FROM_0})
    assert found == (3, None, {"val_acc": 3 / 8})


def test_a_row_of_the_very_step_counts(tmp_path: Path) -> None:
    rows = "epoch,step,val_acc\n3,3000,0.25\n3,3500,0.5\n"
    found = metrics_of(tmp_path, "last.pt", {"epoch": 3, "global_step": 3500}, {"metrics.csv": rows})
    assert found == (3, None, {"val_acc": 0.5})


def test_a_counter_within_an_object_is_not_the_row_s(tmp_path: Path) -> None:
    rows = ({"epoch": 0, "acc": 0.25}, {"epoch": 2, "acc": 0.5}, {"best": {"epoch": 2}, "epoch": 7, "final_f1": 0.9})
    log = "".join(json.dumps(row) + "\n" for row in rows)
    assert metrics_of(tmp_path, "model_2.pt", {"epoch": 2}, {"log.txt": log})[2] == {"acc": 0.5}


def logged(*epochs: int, at: float) -> str:
    rows = ({"train_loss": 9 - n, "test_acc": at + n / 100, "epoch": n} for n in epochs)
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_of_a_log_that_a_second_training_appends_to_no_row_that_it_has_not_reached(tmp_path: Path) -> None:
    """It overwrites the first one's checkpoints: whose file it is isn't told."""
    log = logged(*range(6), at=0.5) + logged(*range(3), at=0.25)
    assert metrics_of(tmp_path, "checkpoint.pth", {"epoch": 3}, {"log.txt": log})[2] == {}
    log += logged(3, at=0.25)
    assert metrics_of(tmp_path, "checkpoint.pth", {"epoch": 3}, {"log.txt": log})[2] == {}, "two trainings differ"
    csv = "epoch,val_acc\n0,0.1\n1,0.2\n0,0.1\n1,0.2\n2,0.3\n"
    assert metrics_of(tmp_path, "checkpoint.pth", {"epoch": 1}, {"metrics.csv": csv})[2] == {"val_acc": 0.2}


def test_a_log_that_goes_on_after_a_resumption_is_of_one_training(tmp_path: Path) -> None:
    log = logged(0, 1, 2, 3, 4, at=0.5) + logged(3, at=0.25)
    assert metrics_of(tmp_path, "model_2.pth", {"epoch": 2}, {"log.txt": log})[2]["test_acc"] == 0.52
    assert "test_acc" not in metrics_of(tmp_path, "model_3.pth", {"epoch": 3}, {"log.txt": log})[2]


def test_what_the_file_states_of_itself(tmp_path: Path) -> None:
    """A score beside the epoch, and ``arch``, as PyTorch's ImageNet example has it; a log of others isn't its."""
    content = {"epoch": 3, "arch": "resnet18", "metrics": {"val_loss": 0.25}, "val_acc": 0.5, "best_acc1": 71.5}
    torch.save({**content, "state_dict": {"w": torch.zeros(2)}}, tmp_path / "checkpoint.pth.tar")
    (tmp_path / "log.txt").write_text(LOG.replace("test_acc", "val_acc"), encoding="utf-8")
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(tmp_path)
        (row,) = catalog.search("", max_results=None)
    assert (row.architecture, row.metrics) == ("resnet18", {"val_loss": 0.25, "val_acc": 0.5})
    keys = {name: row.provenance[name]["key"] for name in ("architecture", "metrics.val_loss", "metrics.val_acc")}
    assert [*keys.values()] == ["arch", "metrics.val_loss", "val_acc"]
    assert row.provenance["metrics.val_acc"]["scope"] == "checkpoint"


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("model_epoch_12.pth", 12),
        ("epoch_7_loss_0.25.pt", 7),
        ("net-ep3.pt", 3),
        ("checkpoint_0001000.pt", None),
        ("step3.pt", None),
        ("epoch_1.5.pt", None),
        ("epoch1_epoch2.pt", None),
    ],
)
def test_an_epoch_that_only_the_name_states_counts_from_an_unknown_number(
    tmp_path: Path, name: str, stated: int | None
) -> None:
    assert metrics_of(tmp_path, name, {}, {"log.txt": LOG}) == (None, stated, {})


ROWS = [{"epoch": n, "global_step": (n + 1) * 100, "val_acc": n / 8} for n in FIVE]
BY_STEP = {
    "log.csv": "epoch,global_step,val_acc\n" + "".join(",".join(map(str, row.values())) + "\n" for row in ROWS),
    "metrics.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
}


@pytest.mark.parametrize("file", BY_STEP)
def test_a_log_of_the_loop_at_the_file_s_step(tmp_path: Path, file: str) -> None:
    found = metrics_of(tmp_path, "last.pt", {"epoch": 3, "global_step": 400}, {file: BY_STEP[file]})
    assert found == (3, None, {"val_acc": 3 / 8})


@pytest.mark.parametrize("file", BY_STEP)
def test_a_log_of_the_loop_at_another_step(tmp_path: Path, file: str) -> None:
    assert metrics_of(tmp_path, "last.pt", {"epoch": 3, "global_step": 350}, {file: BY_STEP[file]}) == (3, None, {})


@pytest.mark.parametrize(("text", "metrics"), [(FROM_0, {"val_acc": 3 / 8}), (FROM_1, {})])
@pytest.mark.parametrize("file", ["log.csv", "history.csv"])
def test_a_log_of_epochs_counts_from_0(tmp_path: Path, file: str, text: str, metrics: dict[str, float]) -> None:
    assert metrics_of(tmp_path, "model_3.pt", {"epoch": 3}, {file: text}) == (3, None, metrics)


def test_a_framework_s_step_is_not_that_of_a_log_of_one_s_own(tmp_path: Path) -> None:
    lightning: dict[str, Any] = {"epoch": 3, "global_step": 401, "pytorch-lightning_version": "2.4.0"}
    found = metrics_of(tmp_path, "epoch=3-step=401.ckpt", lightning, BY_STEP)
    assert found == (3, None, {})
