"""JSON lines, MLflow's documents and TensorBoard's events, these written by a library of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboardX import SummaryWriter

from catalogdb.errors import MetadataError
from catalogdb.metric_files.opening import open_metric_file
from catalogdb.metric_files.table import Asked, MetricFile


def opened(path: Path, *rows: dict[str, Any], cut: int = 0) -> MetricFile:
    if rows:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_text(text[: len(text) - cut])
    file = open_metric_file(str(path))
    assert file is not None
    file.refresh()
    return file


BY_EPOCH = [
    {"lr": 0.1, "data_time": 0.2, "loss": 1.5, "time": 0.3, "epoch": 1, "iter": 50, "memory": 900, "step": 50},
    {"lr": 0.1, "loss": 1.25, "epoch": 1, "iter": 100, "step": 100},
    {"coco/bbox_mAP": 0.25, "step": 1},
    {"lr": 0.1, "loss": 1.0, "epoch": 2, "iter": 200, "step": 200},
    {"coco/bbox_mAP": 0.5, "step": 2},
]


def test_mmengine_logs_validations_by_epoch(tmp_path: Path) -> None:
    file = opened(tmp_path / "scalars.json", *BY_EPOCH)
    assert file.at(Asked("epoch_1.pth", 100, 0)) == {"lr": 0.1, "loss": 1.25, "coco/bbox_mAP": 0.25}
    assert file.at(Asked("epoch_2.pth", 200, 1)) == {"lr": 0.1, "loss": 1.0, "coco/bbox_mAP": 0.5}
    assert file.at(Asked("epoch_3.pth", 300, 2)) == {}
    assert file.at(Asked("iter_2.pth", 2, None)) == {}, "2 epochs aren't 2 iterations"


def test_mmengine_logs_validations_by_iteration(tmp_path: Path) -> None:
    rows = [{"loss": 1.5, "iter": 50, "step": 50}, {"mIoU": 40.0, "step": 50}, {"loss": 1.0, "iter": 100, "step": 100}]
    file = opened(tmp_path / "scalars.json", *rows)
    assert file.at(Asked("iter_50.pth", 50, None)) == {"loss": 1.5, "mIoU": 40.0}
    assert file.at(Asked("iter_100.pth", 100, None)) == {"loss": 1.0}


def test_detectron_counts_iterations_from_0(tmp_path: Path) -> None:
    rows = [{"iteration": 19, "total_loss": 1.5}, {"bbox/AP": 40.0, "iteration": 4999, "total_loss": 0.5, "time": 1}]
    file = opened(tmp_path / "metrics.json", *rows)
    assert file.at(Asked("model_0004999.pth", 4999)) == {"bbox/AP": 40.0, "total_loss": 0.5}
    assert file.at(Asked("model_0005000.pth", 5000)) == {}


def test_a_log_of_epochs(tmp_path: Path) -> None:
    rows = [
        {"train_lr": 1e-4, "test_class_error": 30.5, "epoch": n, "coco_eval": [1, 2], "name": "x"} for n in range(3)
    ]
    file = opened(tmp_path / "log.txt", *rows, cut=4)
    assert file.at(Asked("checkpoint.pth", None, 1)) == {"train_lr": 1e-4, "test_class_error": 30.5}
    assert file.at(Asked("checkpoint.pth", None, 2)) == {}, "its line was cut"


def test_lines_that_are_no_json_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"iteration": 5, "a": \n["iteration": 5]\n{"iteration": 5, "b": 1}\n')
    assert opened(tmp_path / "metrics.json").at(Asked("x", 5)) == {"b": 1.0}


MLFLOW = {"val_loss": 0.25, "val_acc": 1, "epoch": 3, "global_step": 40, "note": "x"}


@pytest.mark.parametrize(
    ("asked", "row"),
    [
        (Asked("latest_checkpoint.pth", global_step=40, epoch=3), {"val_loss": 0.25, "val_acc": 1.0}),
        (Asked("latest_checkpoint.weights.pth"), {"val_loss": 0.25, "val_acc": 1.0}),
        (Asked("latest_checkpoint.pth", global_step=50, epoch=4), {}),
        (Asked("latest_checkpoint.pth", epoch=4), {}),
        (Asked("checkpoint.pth", global_step=40, epoch=3), {}),
    ],
)
def test_mlflow_s_document_is_of_its_checkpoint(tmp_path: Path, asked: Asked, row: dict[str, float]) -> None:
    path = tmp_path / "latest_checkpoint_metrics.json"
    path.write_text(json.dumps(MLFLOW))
    file = opened(path)
    assert file.at(asked) == row
    assert file.counters("latest_checkpoint.weights.pth") == {"epoch": 3, "global_step": 40}
    assert file.counters("other.pth") == {}


def test_a_document_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_metrics.json").write_text('{"val_loss": 0.')
    with pytest.raises(MetadataError):
        opened(tmp_path / "checkpoint_metrics.json")


def events(folder: Path, write: Callable[[SummaryWriter], None]) -> Path:
    writer = SummaryWriter(str(folder))
    write(writer)
    writer.close()
    (path,) = folder.glob("events.out.tfevents.*")
    return path


def some_events(writer: SummaryWriter) -> None:
    for step in range(100):
        writer.add_scalar("val/loss", 1 / (step + 1), step)
        writer.add_scalar("epoch", step // 10, step)
    writer.add_histogram("weights", list(range(100)), 9)
    writer.add_text("note", "x", 9)
    writer.add_scalar("twice", 1.0, 9)
    writer.add_scalar("twice", 2.0, 9)
    writer.add_scalar("late", 3.0, 5)
    writer.add_scalar("late", 4.0, 2)


def test_events_by_step(tmp_path: Path) -> None:
    file = opened(events(tmp_path, some_events))
    assert file.at(Asked("x.ckpt", 9, 0)) == pytest.approx({"val/loss": 0.1})
    assert file.at(Asked("x.ckpt", 9, None)) == pytest.approx({"val/loss": 0.1})
    assert file.at(Asked("x.ckpt", 9, 1)) == {}, "that step is of epoch 0"
    assert file.at(Asked("x.ckpt", 2, 0)) == pytest.approx({"val/loss": 1 / 3, "late": 4.0})
    assert file.at(Asked("x.ckpt", None, 0)) == {}
    assert set(file.names) == {"val/loss", "epoch", "twice", "late"}


@pytest.mark.parametrize("between", [1, 5, 10])
def test_events_by_epoch_are_none_of_a_step(tmp_path: Path, between: int) -> None:
    """Five steps in an epoch, and the epoch given to ``add_scalar``."""

    def write(writer: SummaryWriter) -> None:
        for epoch in range(0, 40, between):
            writer.add_scalar("acc", epoch / 100, epoch)

    file = opened(events(tmp_path, write))
    assert [file.at(Asked("x.pt", (epoch + 1) * 5, epoch)) for epoch in range(8)] == [{}] * 8


def by_steps(writer: SummaryWriter) -> None:
    for step in range(0, 401, 10):
        writer.add_scalar("train/loss", 1.0, step)
        if step and step % 100 == 0:
            writer.add_scalar("val/acc", step / 1000, step)
            writer.add_scalar("val/mean", 0.5, step // 100)


def test_a_tag_with_a_value_for_each_epoch_proves_that_it_counts_steps(tmp_path: Path) -> None:
    file = opened(events(tmp_path, by_steps))
    assert file.at(Asked("x.pt", 300, 2)) == pytest.approx({"val/acc": 0.3, "train/loss": 1.0})
    assert file.at(Asked("x.pt", 300, 7)) == {}, "no value for each epoch"
    assert file.at(Asked("x.pt", 250, 2)) == {}, "within an epoch nothing is proven"
    assert file.at(Asked("x.pt", 250, 2, beyond_epochs=True)) == {"train/loss": 1.0}
    assert file.at(Asked("x.pt", 4, 3)) == pytest.approx({"val/mean": 0.5})
    assert file.at(Asked("x.pt", 4, 0)) == {}


def test_a_tag_counts_with_the_epoch_s_only_where_both_are_logged_together(tmp_path: Path) -> None:
    def write(writer: SummaryWriter) -> None:
        for step in range(9, 100, 10):
            writer.add_scalar("epoch", step // 10, step)
            writer.add_scalar("val/loss", 0.5, step)
        for epoch in range(10):
            writer.add_scalar("val/own", epoch / 8, epoch)

    assert opened(events(tmp_path, write)).at(Asked("x.ckpt", 9, 0)) == {"val/loss": 0.5}


def test_events_of_a_file_that_is_cut_and_then_grows(tmp_path: Path) -> None:
    path = events(tmp_path, some_events)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    file = opened(path)
    assert file.at(Asked("x.ckpt", 9)) == pytest.approx({"val/loss": 0.1})
    assert file.at(Asked("x.ckpt", 99)) == {}
    with path.open("ab") as appended:
        appended.write(whole[len(whole) // 2 :])
    file.refresh()
    assert file.at(Asked("x.ckpt", 99)) == pytest.approx({"val/loss": 0.01})
    assert file.at(Asked("x.ckpt", 9)) == pytest.approx({"val/loss": 0.1}), "once, not twice"


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\xff" * 1000, b"not events at all, but some longer text"])
def test_files_that_are_no_events(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(content)
    assert opened(path).at(Asked("x", 0)) == {}
