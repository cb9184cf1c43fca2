"""Trains small models with Lightning's WandbLogger, offline, each in a folder of its own, and writes down what was
logged when each checkpoint was saved.

    python -m tests.e2e.wandb_training FOLDER SETUP…        FOLDER/SETUP/truth.json: "epoch step" → row
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from torch.utils.data import DataLoader, TensorDataset

EPOCHS, BATCHES = 4, 10


class Net(LightningModule):  # type: ignore[misc]
    def __init__(self, lr: float = 0.1, width: int = 3, *, optimizers: int = 1, ballast: int = 0) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)
        self.other = torch.nn.Linear(2, 1)
        self.automatic_optimization = optimizers == 1
        self.validations = 0

    def configure_optimizers(self) -> Any:
        one = torch.optim.SGD(self.layer.parameters(), lr=0.01)
        return one if self.hparams.optimizers == 1 else [one, torch.optim.SGD(self.other.parameters(), lr=0.01)]

    def training_step(self, batch: Any, _index: int) -> Any:
        loss = self.layer(batch[0]).square().mean() + self.other(batch[0]).square().mean()
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        if not self.automatic_optimization:
            for optimizer in self.optimizers():
                optimizer.zero_grad()
            self.manual_backward(loss)
            for optimizer in self.optimizers():
                optimizer.step()
        return loss

    def validation_step(self, batch: Any, _index: int) -> None:
        self.log("val/loss", self.layer(batch[0]).square().mean())

    def on_validation_epoch_end(self) -> None:
        self.validations += 1
        self.log("val/hmean", 1 - 1 / (2.5 + self.validations * 7 % 5 + self.validations / 50))
        self.log_dict({f"val/ballast_{number}": float(number) for number in range(self.hparams.ballast)})


class Recording(WandbLogger):  # type: ignore[misc]
    """Remembers the last row of a validation."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.last: dict[str, float] = {}

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if "val/hmean" in metrics:
            self.last.clear()
            self.last.update({name: float(value) for name, value in metrics.items()})
            self.last["trainer/global_step"] = float(step or 0)
        super().log_metrics(metrics, step)


class Truth(Callback):  # type: ignore[misc]
    def __init__(self, logger: Recording, path: Path, kill_at: int | None) -> None:
        self.logger, self.path, self.kill_at = logger, path, kill_at
        self.saved: dict[str, Any] = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.saved[f"{checkpoint['epoch']} {checkpoint['global_step']}"] = dict(self.logger.last)
        self.path.write_text(json.dumps(self.saved), encoding="utf-8")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A file that was saved just before it holds the same weights."""
        if f"{trainer.current_epoch} {trainer.global_step}" in self.saved:
            self.saved[f"{trainer.current_epoch} {trainer.global_step}"] = dict(self.logger.last)
            self.path.write_text(json.dumps(self.saved), encoding="utf-8")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


SETUPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "twice": {"trainer": {"val_check_interval": 0.5}},
    "accumulate": {"trainer": {"accumulate_grad_batches": 4}},
    "two_optimizers": {"model": {"optimizers": 2}},
    "killed": {"model": {"ballast": 300}, "kill_at": 3},
}


def train(folder: Path, setup: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    torch.manual_seed(7)
    logger = Recording(save_dir=folder, project="detection", offline=True)
    data = DataLoader(TensorDataset(torch.randn(BATCHES * 2, 2)), batch_size=2)
    trainer = Trainer(
        max_epochs=EPOCHS,
        logger=logger,
        callbacks=[
            ModelCheckpoint(monitor="val/hmean", mode="max", save_top_k=2, save_last=True),
            ModelCheckpoint(every_n_train_steps=3, save_top_k=-1, filename="step-{step}"),
            Truth(logger, folder / "truth.json", setup.get("kill_at")),
        ],
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **setup.get("trainer", {}),
    )
    trainer.fit(Net(**setup.get("model", {})), data, data)
    logger.experiment.finish()


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for name in sys.argv[2:]:
        train(Path(sys.argv[1]) / name, SETUPS[name])


if __name__ == "__main__":
    main()
