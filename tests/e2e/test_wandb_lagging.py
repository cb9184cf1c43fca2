"""W&B writes a run's log in blocks: a checkpoint may be on the disk before the row of its validation is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from catalogdb import Catalog
from catalogdb.resolve.wandb import lookup
from catalogdb.settings import load_settings
from tests import wandb_log

RUN = wandb_log.run("abc123de", config={"lr": 0.1}, project="ocr", entity="team")


def checkpoint(epoch: int) -> bytes:
    """Ten batches an epoch, saved after the validation that ends it (``lightning/pytorch/loops``)."""
    batches = dict.fromkeys(("ready", "started", "processed", "completed"), 10)
    epochs = {**dict.fromkeys(("ready", "started", "processed"), epoch + 1), "completed": epoch}
    fit = {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": 10 * (epoch + 1)},
        "epoch_loop.batch_progress": {"current": batches, "total": batches, "is_last_batch": True},
        "epoch_loop.val_loop.batch_progress": {"current": batches, "total": batches, "is_last_batch": True},
        "epoch_progress": {"current": epochs, "total": epochs},
    }
    state = {
        "epoch": epoch,
        "global_step": 10 * (epoch + 1),
        "pytorch-lightning_version": "2.6.0",
        "loops": {"fit_loop": fit},
        "state_dict": {"w": torch.zeros(2)},
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def validation(epoch: int) -> list[bytes]:
    values = {"val/hmean": 0.1 * (epoch + 1), "trainer/global_step": 10 * epoch + 9, "epoch": epoch}
    return [wandb_log.history(10 * epoch + 9, values), wandb_log.summary(values)]


@pytest.mark.parametrize("seconds", [0.0, lookup.CATCHES_UP])
def test_its_row_is_looked_for_again_until_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lookup, "CATCHES_UP", seconds)
    trial = tmp_path / "outputs" / "trial"
    wandb_log.write_run(trial, "abc123de", [RUN, *validation(0)])
    (trial / "config.yaml").write_text("logger: {wandb: {id: abc123de, entity: team, project: ocr}}\n", "utf-8")
    for epoch in range(2):
        (trial / f"epoch={epoch}.ckpt").write_bytes(checkpoint(epoch))
    settings = load_settings(overrides={"url": str(tmp_path / "catalog.db"), "offline": True})
    with Catalog.open(settings=settings) as catalog:

        def scanned() -> tuple[int, list[float]]:
            report = catalog.scan(trial.parent)
            return report.updated, [row.metrics["val/hmean"] for row in catalog.search("", max_results=None)]

        assert scanned() == (0, [0.1, 0.1]), "of the second one no more is known than the run's last value"
        if not seconds:
            assert scanned() == (1, [0.1, 0.1]), "of the first one all is known"
        wandb_log.write_run(trial, "abc123de", [RUN, *validation(0), *validation(1)])
        if seconds:
            assert scanned() == (0, [0.1, 0.1]), "not before that time has passed"
        else:
            assert scanned() == (1, [0.1, 0.2])
            assert scanned() == (0, [0.1, 0.2]), "it's there"
