"""Beside a sidecar a look at a file's start is enough, but where something else needs the rest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from catalogdb import Catalog, Checkpoint
from tests.unit.resolve.support import edited

HOUR = 3600


def lightning(step: int, *, stepped: int, score: float | None = None) -> dict[str, Any]:
    """As Lightning writes it at an epoch's end: ``stepped`` batches were, with ``step`` steps of all optimizers."""
    epochs = {"ready": 2, "processed": 2, "completed": 1}
    batches = {"ready": 10, "processed": 10, "completed": 10}
    validation = {"ready": 1, "completed": 1}
    fit = {
        "epoch_progress": {"total": epochs},
        "epoch_loop.batch_progress": {"current": batches, "is_last_batch": True},
        "epoch_loop.val_loop.batch_progress": {"current": validation, "total": validation},
        "epoch_loop.state_dict": {"_batches_that_stepped": stepped},
    }
    kept = {"/x/checkpoints/best.ckpt": score}
    state = {"monitor": "val/hmean", "current_score": score, "best_k_models": kept}
    key = "ModelCheckpoint{'monitor': 'val/hmean', 'mode': 'max', 'every_n_train_steps': 0, 'every_n_epochs': 1}"
    return {
        "epoch": 1,
        "global_step": step,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": {"w": torch.zeros(2)},
        "loops": {"fit_loop": fit},
        "callbacks": {} if score is None else {key: state},
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    return tmp_path / "run"


def row_of(run: Path, content: dict[str, Any], *, sidecar_is_older_by: float = 0) -> Checkpoint:
    path = run / "checkpoints" / "best.ckpt"
    torch.save(content, path)
    places = {"checkpoint_path": "run/checkpoints/best.ckpt", "training__global_step": content["global_step"]}
    document = edited(**places, metrics__additional_metrics={"val/hmean": 0.84})
    sidecar = path.with_suffix(".metadata.yaml")
    sidecar.write_text(yaml.safe_dump(document), encoding="utf-8")
    written = path.stat().st_mtime - sidecar_is_older_by
    os.utime(sidecar, (written, written))
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(run.parent, use_wandb=False)
        return catalog.get(path)


@pytest.mark.parametrize(("stepped", "loss"), [(10, 0.5), (20, 0.25)])
def test_with_two_optimizers_the_row_is_the_loop_s(run: Path, stepped: int, loss: float) -> None:
    """Of 20 steps in all, the metrics are logged under step 9, and 19 is another validation's."""
    (run / "metrics.csv").write_text("epoch,step,val/x\n1,9,0.5\n1,19,0.25\n", encoding="utf-8")
    row = row_of(run, lightning(20, stepped=stepped))
    assert (row.metrics["val/x"], row.metrics["hmean"]) == (loss, 0.84)


def test_an_older_sidecar_of_a_training_of_the_same_length_is_drift(run: Path) -> None:
    row = row_of(run, lightning(20, stepped=20, score=0.5), sidecar_is_older_by=HOUR)
    assert row.metrics == {"val/hmean": 0.5}
    (problem,) = row.problems
    assert "drift: val/hmean is 0.84 by the sidecar, but 0.5 by the file" in problem


def test_a_sidecar_that_was_written_with_its_file_needs_no_more(run: Path) -> None:
    row = row_of(run, lightning(20, stepped=20, score=0.84), sidecar_is_older_by=30)
    assert (row.metrics["hmean"], row.problems, row.weights) == (0.84, (), None)
