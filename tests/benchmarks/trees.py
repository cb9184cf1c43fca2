"""Writes the trees that the benchmarks read: real files, saved by torch. Run in a process of its own.

python -m tests.benchmarks.trees family DIR --checkpoints 10000
python -m tests.benchmarks.trees small DIR --checkpoints 100000
python -m tests.benchmarks.trees large DIR --checkpoints 20 --megabytes 500
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.documents import PER_EXPERIMENT, Experiment

LARGE_PARAMETERS = 150
"""Each with Adam's two moments and its step: 600 tensors."""


def lightning_checkpoint(
    state_dict: dict[str, torch.Tensor], experiment: Experiment, epoch: int, *, folder: str, moments: bool
) -> dict[str, Any]:
    """What ``Trainer.save_checkpoint`` writes (``lightning/pytorch/trainer/connectors/checkpoint_connector.py``)."""
    best = {f"{folder}/{experiment.file_name(each)}": experiment.score(each) for each in range(epoch + 1)}
    best_path = max(best, key=best.__getitem__)
    step = experiment.step(epoch)
    key = (
        "ModelCheckpoint{'monitor': 'val/hmean', 'mode': 'max', 'every_n_train_steps': 0, 'every_n_epochs': 1, "
        "'train_time_interval': None}"
    )
    progress = {"total": {"ready": step, "completed": step}, "current": {"ready": step, "completed": step}}
    state = {
        number: {"step": torch.tensor(float(step)), "exp_avg": value.clone(), "exp_avg_sq": value.clone()}
        for number, value in enumerate(state_dict.values())
    }
    return {
        "epoch": epoch,
        "global_step": step,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": state_dict,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": progress, "epoch_loop.batch_progress": progress}},
        "callbacks": {
            key: {
                "monitor": "val/hmean",
                "best_model_score": torch.tensor(best[best_path]),
                "best_model_path": best_path,
                "current_score": torch.tensor(experiment.score(epoch)),
                "dirpath": folder,
                "best_k_models": {path: torch.tensor(score) for path, score in best.items()},
                "kth_best_model_path": "",
                "kth_value": torch.tensor(0.0),
                "last_model_path": "",
            }
        },
        "optimizer_states": [
            {
                "state": state if moments else {},
                "param_groups": [{"lr": experiment.lr, "betas": (0.9, 0.999), "params": list(range(len(state)))}],
            }
        ],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {
            "architecture_name": experiment.architecture,
            "encoder_name": experiment.backbone,
            "lr": experiment.lr,
            "seed": experiment.seed,
        },
    }


def tiny_weights(layers: int) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    for layer in range(layers):
        state[f"model.layers.{layer}.weight"] = torch.randn(4, 4)
        state[f"model.layers.{layer}.bias"] = torch.randn(4)
    return state


def write_family(root: Path, count: int, *, small: bool = False) -> None:
    """``<experiment>/.hydra/config.yaml``, ``<experiment>/checkpoints/*.ckpt`` with their sidecars, four to a config.

    ``small`` files hold two tensors and are copies of each other but for their epoch: quick to write.
    """
    copies: dict[int, bytes] = {}
    for number in range(-(-count // PER_EXPERIMENT)):
        experiment = Experiment(number)
        folder = root / experiment.name / "checkpoints"
        folder.mkdir(parents=True)
        hydra = root / experiment.name / ".hydra"
        hydra.mkdir()
        (hydra / "config.yaml").write_text(experiment.config(), encoding="utf-8")
        for epoch in experiment.epochs()[: count - number * PER_EXPERIMENT]:
            name = experiment.file_name(epoch)
            if small:
                if epoch not in copies:
                    content = io.BytesIO()
                    weights = tiny_weights(1)
                    torch.save(
                        lightning_checkpoint(weights, experiment, epoch, folder="/trained/checkpoints", moments=False),
                        content,
                    )
                    copies[epoch] = content.getvalue()
                (folder / name).write_bytes(copies[epoch])
            else:
                weights = tiny_weights(4)
                checkpoint = lightning_checkpoint(weights, experiment, epoch, folder=str(folder), moments=True)
                torch.save(checkpoint, folder / name)
            (folder / f"{name[:-5]}.metadata.yaml").write_text(experiment.sidecar(epoch), encoding="utf-8")


def write_large(root: Path, count: int, megabytes: int) -> None:
    """Checkpoints of 150 parameters with Adam's state, 600 tensors in all, without any metadata."""
    elements = megabytes * 1_000_000 // 4 // (3 * LARGE_PARAMETERS)
    rows = max(1, int(elements**0.5))
    weights = {
        f"model.layers.{number}.weight": torch.randn(rows, elements // rows) for number in range(LARGE_PARAMETERS)
    }
    for number in range(count):
        experiment = Experiment(number)
        folder = root / f"run{number}"
        folder.mkdir(parents=True)
        epoch = number % PER_EXPERIMENT
        checkpoint = lightning_checkpoint(weights, experiment, epoch, folder=str(folder), moments=True)
        torch.save(checkpoint, folder / experiment.file_name(epoch))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("family", "small", "large"))
    parser.add_argument("root", type=Path)
    parser.add_argument("--checkpoints", type=int, required=True)
    parser.add_argument("--megabytes", type=int, default=500)
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.kind == "large":
        write_large(options.root, options.checkpoints, options.megabytes)
    else:
        write_family(options.root, options.checkpoints, small=options.kind == "small")


if __name__ == "__main__":
    main()
