"""Checkpoints without a training: what Lightning and plain loops write, saved by torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

KEEPER = (
    "ModelCheckpoint{{'monitor': '{monitor}', 'mode': '{mode}', 'every_n_train_steps': 0, 'every_n_epochs': 1, "
    "'train_time_interval': None}}"
)


def lightning(folder: Path, epoch: int, *, monitor: str = "val/hmean", mode: str = "max") -> Path:
    path = folder / f"epoch={epoch}-step={epoch * 10 + 10}.ckpt"
    score = (epoch + 1) / 33
    checkpoint: dict[str, Any] = {
        "epoch": epoch,
        "global_step": epoch * 10 + 10,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": {"head.weight": torch.full((2, 2), score)},
        "callbacks": {
            KEEPER.format(monitor=monitor, mode=mode): {
                "monitor": monitor,
                "best_model_path": str(path),
                "best_model_score": torch.tensor(score),
                "current_score": torch.tensor(score),
                "best_k_models": {str(path): torch.tensor(score)},
                "last_model_path": "",
            }
        },
        "hyper_parameters": {
            "architecture_name": "dbnet",
            "lr": 0.1 / (epoch + 1),
            "optimizer": {"betas": [0.9, 0.99]},
        },
    }
    torch.save(checkpoint, path)
    return path


def plain(folder: Path, epoch: int) -> Path:
    path = folder / f"model_{epoch}.pth"
    checkpoint = {"epoch": epoch, "model": {"w": torch.full((2,), float(epoch))}}
    if epoch % 2:
        checkpoint["cleval_metrics"] = {"precision": 0.5, "recall": 0.25, "hmean": epoch / 40}
    torch.save(checkpoint, path)
    return path
