"""Trainings with MetadataCallback that note, at each save and by themselves, what was true; and what has to hold after.

Run as a script, it trains in a process of its own: ``python -m tests.e2e.callback_training CASE FOLDER``.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import os
import resource
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from catalogdb.lightning import MetadataCallback
from catalogdb.metadata import CheckpointMetadataV1, save_metadata
from catalogdb.records import EMBEDDED_KEY, sidecar_path

PACKAGE = os.environ.get("TRAIN_WITH", "lightning.pytorch")
pl: Any = importlib.import_module(PACKAGE)
TorchCheckpointIO: Any = importlib.import_module(f"{PACKAGE}.plugins.io").TorchCheckpointIO
ModelCheckpoint: Any = pl.callbacks.ModelCheckpoint

HMEANS = (0.31, 0.52, 0.48, 0.7, 0.0, 0.66, 0.71, 0.2, 0.9, 0.4, 0.41, 0.42)
"""What each validation finds, so that the best isn't the last, and 0.0 is a value."""


class Detector(pl.LightningModule):  # type: ignore[misc]
    """Takes real steps; its validations find what is written down. ``val/recall`` isn't known before the second."""

    def __init__(self, *, architecture_name: str = "dbnet", encoder_name: str = "resnet18", lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Linear(2, 4)
        self.head = nn.Linear(4, 2)
        self.criterion = nn.CrossEntropyLoss()
        self.validations = 0
        self.validated_at = 0

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Any:
        loss = self.criterion(self.head(self.encoder(batch[0])), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, *_: object) -> None:
        """Validation has to run; what it finds is written down."""

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking:
            return
        self.validated_at = self.trainer.global_step
        hmean = HMEANS[self.validations % len(HMEANS)]
        self.log("val/hmean", hmean)
        self.log("val/loss", 1.5 - hmean)
        self.log("val/nan", math.nan)
        if self.validations:
            self.log("val/recall", hmean / 2)
        self.validations += 1

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["validations"] = self.validations

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.validations = checkpoint["validations"]

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])


class Adversaries(Detector):
    """Two optimizers, by hand: two steps for each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            loss = functional.cross_entropy(self.head(self.encoder(batch[0])), batch[1])
            self.manual_backward(loss)
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), lr=0.1) for part in (self.encoder, self.head)]


@dataclasses.dataclass(frozen=True)
class Known:
    """What the trainer knew when it was told to save a file."""

    epoch: int
    global_step: int
    metrics: Mapping[str, float]


class NotingTrainer(pl.Trainer):  # type: ignore[misc]
    """Notes, for each file, what is true when it is told to save it: no metric of an earlier validation."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.noted: dict[str, Known] = {}

    def save_checkpoint(self, filepath: Any, *args: Any, **options: Any) -> None:
        is_validated = self.lightning_module.validated_at == self.global_step
        latest = {name: float(value) for name, value in self.callback_metrics.items()}
        metrics = {name: value for name, value in latest.items() if is_validated or not name.startswith("val/")}
        known = Known(self.current_epoch, self.global_step, metrics)
        super().save_checkpoint(filepath, *args, **options)
        self.noted[str(filepath)] = known


class SeedCallback(pl.Callback):  # type: ignore[misc]
    """As the seed's project does it: at each save, the sidecar of the best file so far gets the numbers of now.

    It writes into a folder of its own, so that both can be held against the same run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        del pl_module, checkpoint
        for keeper in trainer.checkpoint_callbacks:
            if keeper.best_model_path:
                metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
                save_metadata(
                    seed_metadata(trainer.current_epoch, trainer.global_step, metrics, keeper.best_model_path),
                    self.folder / Path(keeper.best_model_path).name,
                )


def seed_metadata(epoch: int, step: int, metrics: Mapping[str, float], path: str) -> CheckpointMetadataV1:
    return CheckpointMetadataV1.model_validate(
        {
            "checkpoint_path": path,
            "exp_name": "run",
            "created_at": "2025-10-18T14:32:15",
            "training": {"epoch": epoch, "global_step": step},
            "model": {
                "architecture": "dbnet",
                "encoder": {"model_name": "resnet18"},
                **{part: {"name": "unknown"} for part in ("decoder", "head", "loss")},
            },
            "metrics": {"hmean": metrics.get("val/hmean"), "additional_metrics": metrics},
            "checkpointing": {"monitor": "val/hmean", "mode": "max"},
        }
    )


def loaders() -> tuple[DataLoader[Any], DataLoader[Any]]:
    data = TensorDataset(torch.randn(32, 2), torch.arange(32) % 2)
    return DataLoader(data, batch_size=8), DataLoader(data, batch_size=8)


def trainer_of(folder: Path, *callbacks: Any, **options: Any) -> Any:
    return NotingTrainer(
        accelerator="cpu",
        callbacks=[*callbacks],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **{"max_epochs": 4, "devices": 1, "logger": False, **options},
    )


def complaints(folder: Path, noted: Mapping[str, Known], *, sidecars: Path | None = None) -> Iterator[str]:
    """What isn't true of the files in ``folder``; with ``sidecars``, of those in another folder, and of them alone."""
    files = {str(path): path for path in folder.rglob("*.ckpt")}
    left = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".ckpt", ".yaml")]
    yield from (f"{path} was left behind" for path in left)
    for sidecar in (sidecars or folder).rglob("*.metadata.yaml"):
        if not any(path.name == sidecar.name.replace(".metadata.yaml", ".ckpt") for path in files.values()):
            yield f"{sidecar} stands without its checkpoint"
    for name, path in files.items():
        known = noted[str(path.resolve())]
        place = Path(sidecar_path(str(sidecars / path.name if sidecars else path)))
        if not place.exists():
            yield f"{name} has no sidecar"
        else:
            document = yaml.safe_load(place.read_text(encoding="utf-8"))
            CheckpointMetadataV1.model_validate(document)
            yield from (f"{place}: {complaint}" for complaint in differences(document, known))
            if sidecars is None:
                record = torch.load(path, weights_only=True)[EMBEDDED_KEY]
                yield from (f"{name}: {complaint}" for complaint in differences(record, known))
                record = {**record, "checkpoint_path": document["checkpoint_path"]} if path.is_symlink() else record
                if repr(document) != repr(record):
                    yield f"{name}: the sidecar isn't the record in the file"
                if not str(path).endswith(f"/{document['checkpoint_path']}"):
                    yield f"{name} is called {document['checkpoint_path']}"


def differences(document: Mapping[str, Any], known: Known) -> Iterator[str]:
    training, metrics = document["training"], document["metrics"]
    if (training["epoch"], training["global_step"]) != (known.epoch, known.global_step):
        yield f"is about {training}, not {known.epoch}, {known.global_step}"
    if repr(sorted(metrics["additional_metrics"].items())) != repr(sorted(known.metrics.items())):
        yield f"has {metrics['additional_metrics']}, not {known.metrics}"
    for field, name in (("hmean", "val/hmean"), ("recall", "val/recall"), ("validation_loss", "val/loss")):
        if metrics.get(field) != known.metrics.get(name):
            yield f"{field} is {metrics.get(field)}, not {known.metrics.get(name)}"


# -- in a process of its own ------------------------------------------------------------------------------------------


class FillsUp(TorchCheckpointIO):  # type: ignore[misc]
    """A disk with room for checkpoints, and none for what comes after them; from the fourth on none at all."""

    saves = 0

    def save_checkpoint(self, *args: Any, **options: Any) -> None:
        self.saves += 1
        room(1 << 30 if self.saves < 4 else 64)
        super().save_checkpoint(*args, **options)
        room(64 if self.saves > 1 else 1 << 30)


def room(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def full_disk(folder: Path) -> Any:
    """``only.ckpt`` is overwritten: where there's no room for its new sidecar, the old one is of an older state."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    keeper = ModelCheckpoint(dirpath=folder / "checkpoints", filename="only", enable_version_counter=False)
    trainer = trainer_of(folder, MetadataCallback(), keeper, plugins=[FillsUp()], max_epochs=5)
    try:
        trainer.fit(Detector(), *loaders())
    except OSError as error:
        sys.stderr.write(f"the training ended at step {trainer.global_step}: {error.strerror}\n")
    room(1 << 30)
    return trainer


def two_processes(folder: Path) -> Any:
    keeper = ModelCheckpoint(
        dirpath=folder / "checkpoints", monitor="val/hmean", mode="max", save_top_k=2, save_last=True
    )
    weights = ModelCheckpoint(dirpath=folder / "weights", every_n_epochs=1, save_top_k=-1, save_weights_only=True)
    seed = SeedCallback(folder.with_name("seed"))
    trainer = trainer_of(folder, MetadataCallback(), seed, keeper, weights, devices=2, strategy="ddp")
    trainer.fit(Detector(), *loaders())
    return trainer


def links(folder: Path) -> Any:
    keeper = ModelCheckpoint(
        dirpath=folder / "checkpoints", monitor="val/hmean", mode="max", save_top_k=2, save_last="link"
    )
    trainer = trainer_of(folder, MetadataCallback(), SeedCallback(folder.with_name("seed")), keeper)
    trainer.fit(Detector(), *loaders())
    return trainer


def wandb(folder: Path) -> Any:
    """Runs that are only kept here, and one that isn't kept at all."""
    for name, mode, place in (
        ("named", "offline", {"entity": "team", "project": "ocr"}),
        ("nameless", "offline", {"project": "ocr"}),
        ("disabled", "disabled", {"entity": "team"}),
    ):
        run = importlib.import_module("wandb").init(mode=mode, id="abc123de", dir=str(folder), **place)
        logger = pl.loggers.WandbLogger(experiment=run)
        keeper = ModelCheckpoint(dirpath=folder / name)
        trainer = trainer_of(folder, MetadataCallback(), keeper, logger=logger, max_epochs=1)
        trainer.fit(Detector(), *loaders())
        run.finish()
    return trainer


CASES = {"wandb": wandb, "two_processes": two_processes, "full_disk": full_disk, "links": links}


def main() -> None:
    case, folder = sys.argv[1], Path(sys.argv[2])
    trainer = CASES[case](folder)
    if trainer.is_global_zero:
        noted = {path: dataclasses.asdict(known) for path, known in trainer.noted.items()}
        (folder / "noted.json").write_text(json.dumps(noted), encoding="utf-8")


if __name__ == "__main__":
    main()
