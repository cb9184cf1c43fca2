"""Train the outputs tree that ``catalogdb demo`` lays out. For developers: needs torch, lightning and wandb.

    python tools/train_demo.py --root /srv/demo --archive catalogdb/demo/outputs.tar.xz

Five small text detectors learn to find bright strokes in noise, for a few seconds each, on the CPU. The names are
those of the detectors' family; the modules are toys in their shape. Checkpoints hold absolute paths, so the root
ends up in the archive: let it be one that says nothing about the machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import io
import json
import logging
import os
import sys
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
import wandb
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

IMAGE = 24
TRAIN_IMAGES, VAL_IMAGES, BATCH = 160, 32, 16
WIDTH = 12
PROJECT, ENTITY = "text-detection", "demo"
LEFT_OUT = (
    "logs",
    "tmp",
    "debug.log",
    "debug-internal.log",
    "debug-core.log",
    "wandb-metadata.json",
    "requirements.txt",
)
"""Of W&B's folder: what describes the machine, not the run."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One training run. ``described`` ones have Hydra's config, ``sidecars`` a V1 document beside each file."""

    name: str
    architecture: Literal["dbnet", "craft", "pan"]
    encoder: Literal["resnet18", "mobilenetv3_small_050"]
    monitor: str
    mode: Literal["min", "max"]
    lr: float
    max_epochs: int
    run_id: str
    seed: int
    filename: str | None = None
    save_last: bool | Literal["link"] = True
    described: bool = True
    sidecars: bool = False


EXPERIMENTS = (
    Experiment("dbnet-resnet18", "dbnet", "resnet18", "val/hmean", "max", 0.02, 8, "k3v9q1zt", 1, sidecars=True),
    Experiment(
        "dbnet-mobilenetv3_small_050", "dbnet", "mobilenetv3_small_050", "val/hmean", "max", 0.03, 7, "w7m2c8xd", 2,
    ),
    Experiment("craft-resnet18", "craft", "resnet18", "val/loss", "min", 0.03, 8, "b5t0h4ne", 3, save_last="link"),
    Experiment(
        "pan-resnet18", "pan", "resnet18", "val/loss", "min", 0.03, 8, "p9r6y2ua", 4,
        filename="epoch={epoch:02d}-val_loss={val/loss:.3f}",
    ),
    Experiment(
        "run_042", "pan", "mobilenetv3_small_050", "val/hmean", "max", 0.05, 8, "f1g8j3ks", 5,
        filename="model", described=False,
    ),
)  # fmt: skip

PARTS = {
    "dbnet": ("fpn", "db_head", "db_loss"),
    "craft": ("unet", "craft_head", "craft_loss"),
    "pan": ("fpem", "pan_head", "pan_loss"),
}
"""By architecture: decoder, head, loss."""


def make_images(count: int, seed: int) -> TensorDataset:
    """Strokes of text-like shape in noise: images (N, 1, H, W) and their masks, of the same shape, in {0, 1}."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=generator))

    images = 0.7 * torch.randn(count, 1, IMAGE, IMAGE, generator=generator)
    masks = torch.zeros(count, 1, IMAGE, IMAGE)
    for index in range(count):
        for _ in range(3):
            height, width = (draw(low, high) for low, high in ((2, 5), (6, 14)))
            top, left = draw(0, IMAGE - height), draw(0, IMAGE - width)
            masks[index, 0, top : top + height, left : left + width] = 1.0
    return TensorDataset(images + 0.6 * masks, masks)


class Encoder(nn.Module):
    """A stem and one block: residual with batch norm (resnet18), or depthwise separable (mobilenetv3)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, WIDTH, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH) if name == "resnet18" else None
        if name == "resnet18":
            self.block: nn.Module = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        else:
            self.block = nn.Sequential(
                nn.Conv2d(WIDTH, WIDTH, 5, padding=2, groups=WIDTH, bias=False), nn.Conv2d(WIDTH, WIDTH, 1)
            )

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        maps = functional.relu(maps if self.norm is None else self.norm(maps))
        return functional.relu(maps + self.block(maps))


class Detector(pl.LightningModule):  # type: ignore[misc]
    """A text detector: encoder, decoder at half the size, and a head of two maps."""

    def __init__(
        self, *, architecture_name: str, encoder_name: str, decoder_name: str, head_name: str, loss_name: str,
        max_epochs: int, lr: float, weight_decay: float, seed: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.encoder = Encoder(encoder_name)
        self.decoder = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.head = nn.Conv2d(WIDTH, 2, 3, padding=1)
        nn.init.constant_(self.head.bias, -1.5)  # type: ignore[arg-type]
        self.counts = torch.zeros(3)

    def forward(self, images: Tensor) -> Tensor:
        """The detector's two maps as logits, (N, 2, H, W)."""
        maps = self.encoder(images)
        half = functional.relu(self.decoder(functional.avg_pool2d(maps, 2)))
        out: Tensor = self.head(maps + functional.interpolate(half, scale_factor=2.0))
        return out

    def detect(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The text's probability, and the head's other map: threshold, affinity or kernel."""
        first, second = self(images).split(1, dim=1)
        if self.hparams["architecture_name"] == "dbnet":
            return torch.sigmoid(4 * (torch.sigmoid(first) - torch.sigmoid(second))), torch.sigmoid(second)
        return torch.sigmoid(first), torch.sigmoid(second)

    def loss(self, text: Tensor, other: Tensor, masks: Tensor) -> Tensor:
        shrunk = -functional.max_pool2d(-masks, 3, stride=1, padding=1)
        overlap = 1 - (2 * (text * masks).sum() + 1) / (text.sum() + masks.sum() + 1)
        match self.hparams["architecture_name"]:
            case "dbnet":
                thresholds = functional.mse_loss(other, 0.4 * masks + 0.3)
                return functional.binary_cross_entropy(text, masks) + overlap + thresholds
            case "craft":
                return functional.mse_loss(text, masks) + functional.mse_loss(other, shrunk)
            case _:
                return overlap + functional.binary_cross_entropy(other, shrunk)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, masks = batch
        loss = self.loss(*self.detect(images), masks)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.counts = torch.zeros(3)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, masks = batch
        text, other = self.detect(images)
        found, truth = text > 0.5, masks > 0.5
        self.counts += torch.stack([(found & truth).sum(), (found & ~truth).sum(), (~found & truth).sum()])
        self.log("val/loss", self.loss(text, other, masks), batch_size=len(images))

    def on_validation_epoch_end(self) -> None:
        hits, wrong, missed = self.counts.tolist()
        self.log_dict({
            "val/precision": hits / (hits + wrong) if hits + wrong else 0.0,
            "val/recall": hits / (hits + missed) if hits + missed else 0.0,
            "val/hmean": 2 * hits / (2 * hits + wrong + missed) if hits else 0.0,
        })  # fmt: skip

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"], weight_decay=self.hparams["weight_decay"])


class SidecarIO(TorchCheckpointIO):  # type: ignore[misc]
    """Writes ``X.metadata.yaml`` beside each file at the moment it is saved, from what the trainer knows then."""

    def __init__(self, experiment: Experiment, outputs: Path) -> None:
        super().__init__()
        self.experiment = experiment
        self.outputs = outputs
        self.trainer: pl.Trainer | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str, storage_options: Any = None) -> None:
        super().save_checkpoint(checkpoint, path, storage_options)
        assert self.trainer is not None
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        document = sidecar(self.experiment, Path(path).relative_to(self.outputs), checkpoint, metrics)
        text = yaml.safe_dump(document, sort_keys=False, default_flow_style=False)
        Path(path).with_suffix(".metadata.yaml").write_text(text, encoding="utf-8")

    def remove_checkpoint(self, path: str) -> None:
        super().remove_checkpoint(path)
        Path(path).with_suffix(".metadata.yaml").unlink(missing_ok=True)


def sidecar(
    experiment: Experiment, path: Path, checkpoint: dict[str, Any], metrics: dict[str, float]
) -> dict[str, Any]:
    """The V1 document of one checkpoint. ``path`` is relative to the outputs directory."""
    decoder, head, loss = PARTS[experiment.architecture]
    headline = {
        "precision": "val/precision",
        "recall": "val/recall",
        "hmean": "val/hmean",
        "validation_loss": "val/loss",
    }
    return {
        "schema_version": "1.0",
        "checkpoint_path": path.as_posix(),
        "exp_name": experiment.name,
        "created_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "training": {
            "epoch": checkpoint["epoch"],
            "global_step": checkpoint["global_step"],
            "training_phase": "training",
            "max_epochs": experiment.max_epochs,
        },
        "model": {
            "architecture": experiment.architecture,
            "encoder": {"model_name": experiment.encoder, "pretrained": False, "frozen": False},
            "decoder": {"name": decoder, "in_channels": [WIDTH], "inner_channels": WIDTH, "output_channels": WIDTH},
            "head": {"name": head, "in_channels": WIDTH},
            "loss": {"name": loss},
        },
        "metrics": {
            **{field: metrics[name] for field, name in headline.items()},
            "additional_metrics": metrics,
        },
        "checkpointing": {
            "monitor": experiment.monitor,
            "mode": experiment.mode,
            "save_top_k": 3,
            "save_last": bool(experiment.save_last),
        },
        "hydra_config_path": f"{experiment.name}/.hydra/config.yaml",
        "wandb_run_id": experiment.run_id,
    }


def write_hydra(experiment: Experiment, folder: Path) -> None:
    """``.hydra/`` as Hydra leaves it beside a run."""
    decoder, head, loss = PARTS[experiment.architecture]
    config = {
        "exp_name": experiment.name,
        "seed": experiment.seed,
        "model": {
            "architecture_name": experiment.architecture,
            "encoder": {"model_name": experiment.encoder, "pretrained": False, "frozen": False},
            "decoder": {"name": decoder, "in_channels": [WIDTH], "inner_channels": WIDTH, "output_channels": WIDTH},
            "head": {"name": head, "in_channels": WIDTH},
            "loss": {"name": loss},
        },
        "optimizer": {"_target_": "torch.optim.Adam", "lr": experiment.lr, "weight_decay": 0.0001},
        "data": {"batch_size": BATCH, "image_size": IMAGE},
        "trainer": {"max_epochs": experiment.max_epochs, "accelerator": "cpu"},
        "callbacks": {
            "model_checkpoint": {
                "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
                "monitor": experiment.monitor,
                "mode": experiment.mode,
                "save_top_k": 3,
                "save_last": experiment.save_last,
            }
        },
        "logger": {"wandb": {"id": experiment.run_id, "entity": ENTITY, "project": PROJECT, "offline": True}},
    }
    overrides = [
        f"exp_name={experiment.name}",
        f"model={experiment.architecture}",
        f"model/encoder={experiment.encoder}",
        f"optimizer.lr={experiment.lr}",
        f"trainer.max_epochs={experiment.max_epochs}",
    ]
    (folder / ".hydra").mkdir()
    for name, document in (("config", config), ("overrides", overrides)):
        text = yaml.safe_dump(document, sort_keys=False)
        (folder / ".hydra" / f"{name}.yaml").write_text(text, encoding="utf-8")


def train(experiment: Experiment, outputs: Path) -> dict[str, float]:
    """Train one experiment into ``outputs/<name>``. Returns the metrics after the last epoch."""
    folder = outputs / experiment.name
    folder.mkdir(parents=True)
    if experiment.described:
        write_hydra(experiment, folder)
    pl.seed_everything(experiment.seed, verbose=False)
    decoder, head, loss = PARTS[experiment.architecture]
    model = Detector(
        architecture_name=experiment.architecture, encoder_name=experiment.encoder, decoder_name=decoder,
        head_name=head, loss_name=loss, max_epochs=experiment.max_epochs, lr=experiment.lr, weight_decay=0.0001,
        seed=experiment.seed,
    )  # fmt: skip
    checkpointing = ModelCheckpoint(
        dirpath=folder / "checkpoints", filename=experiment.filename, monitor=experiment.monitor, mode=experiment.mode,
        save_top_k=3, save_last=experiment.save_last,
        auto_insert_metric_name=experiment.filename is None,
    )  # fmt: skip
    private = wandb.Settings(
        x_disable_meta=True, x_disable_machine_info=True, x_disable_stats=True, x_save_requirements=False, host="",
        disable_git=True, disable_code=True, save_code=False, console="off", silent=True,
    )  # fmt: skip
    online = WandbLogger(
        save_dir=folder, offline=True, id=experiment.run_id, name=experiment.name, project=PROJECT, entity=ENTITY,
        settings=private,
    )  # fmt: skip
    sidecars = SidecarIO(experiment, outputs)
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=experiment.max_epochs, callbacks=[checkpointing],
        logger=[CSVLogger(folder, name="csv"), online], plugins=[sidecars] if experiment.sidecars else [],
        log_every_n_steps=5, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    sidecars.trainer = trainer
    trainer.fit(
        model,
        DataLoader(make_images(TRAIN_IMAGES, 100), batch_size=BATCH, shuffle=True),
        DataLoader(make_images(VAL_IMAGES, 200), batch_size=BATCH),
    )
    wandb.finish()
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def iter_members(outputs: Path) -> Iterator[Path]:
    """Everything below ``outputs`` that goes into the archive, folders before what is in them."""
    for path in sorted(outputs.rglob("*")):
        parts = path.relative_to(outputs).parts
        if not any(name in LEFT_OUT for name in parts):
            yield path


def pack(outputs: Path, archive: Path) -> int:
    """Write the tree as ``outputs/…`` with its links and times, and nothing of who made it. Returns its bytes."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=9, format=tarfile.PAX_FORMAT) as tar:
        for path in iter_members(outputs):
            tar.add(path, Path("outputs", path.relative_to(outputs)), recursive=False, filter=anonymous)
    archive.write_bytes(buffer.getvalue())
    return len(buffer.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--root", type=Path, default=Path("/srv/demo"), help="ROOT/outputs is made; default: %(default)s"
    )
    parser.add_argument("--archive", type=Path, required=True)
    arguments = parser.parse_args()
    outputs = arguments.root.absolute() / "outputs"
    if outputs.exists():
        sys.exit(f"{outputs} exists")
    os.environ.update(WANDB_USERNAME="demo", WANDB_HOST="demo", WANDB_DISABLE_CODE="true", WANDB_MODE="offline")
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for experiment in EXPERIMENTS:
        metrics = train(experiment, outputs)
        sys.stdout.write(f"{experiment.name}: {json.dumps(metrics)}\n")
    size = pack(outputs, arguments.archive)
    sys.stdout.write(f"{arguments.archive}: {size} bytes\n")


if __name__ == "__main__":
    main()
