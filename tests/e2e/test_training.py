"""Real trainings with Lightning, scanned without sidecars: each row against what the trainer knew at that save."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from catalogdb import Catalog
from catalogdb.records import Checkpoint

pytestmark = [
    pytest.mark.training,
    # Lightning's own: of torch's pytree, and advice for trainings that are longer than these
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The '(train|val)_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.ModelCheckpoint.* could not find the monitored key"),
]

EPOCHS = 5


class Separator(pl.LightningModule):  # type: ignore[misc]
    """Learns two well-parted clouds within a few epochs: its score (the error, negated) climbs to exactly 0.0."""

    monitor, mode = "val/score", "max"

    def __init__(self, *, hidden: int = 6, lr: float = 0.02, architecture_name: str = "dbnet") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.body = nn.Sequential(nn.Linear(2, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        points, labels = batch
        return functional.cross_entropy(self.body(points), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        points, labels = batch
        wrong = self.body(points).argmax(1) != labels
        self.log("val/score", -wrong.float().mean(), batch_size=len(labels))
        self.log("val/loss", functional.cross_entropy(self.body(points), labels), batch_size=len(labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])


class Memoriser(pl.LightningModule):  # type: ignore[misc]
    """Learns one thing and is asked for its opposite: its validation loss is never again as low as after epoch 0."""

    monitor, mode = "val/loss", "min"

    def __init__(
        self, *, width: int = 24, lr: float = 0.03, encoder_name: str = "resnet18", dropout: None = None
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.first = nn.Linear(4, width)
        self.second = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.second.weight)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        inputs, targets = batch
        return functional.mse_loss(self.second(torch.tanh(self.first(inputs))), targets)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        inputs, targets = batch
        outputs = self.second(torch.tanh(self.first(inputs)))
        self.log("val/loss", functional.mse_loss(outputs, targets), batch_size=len(targets))
        self.log("val/error", functional.l1_loss(outputs, targets), batch_size=len(targets))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])


class Scripted(pl.LightningModule):  # type: ignore[misc]
    """Takes real steps, and logs one given number after each validation: for schedules that set traps."""

    monitor, mode = "val/loss", "min"

    def __init__(self, *, losses: tuple[float, ...], fails_at: int | None = None) -> None:
        super().__init__()
        self.save_hyperparameters("fails_at")
        self.layer = nn.Linear(2, 1)
        self.losses = list(losses)
        self.fails_at = fails_at

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        if self.trainer.global_step == self.fails_at:
            raise RuntimeError("as the test wants it")
        return functional.mse_loss(self.layer(batch[0]).squeeze(1), batch[1].float())

    def validation_step(self, *_: object) -> None:
        """Validation has to run; what it finds is scripted."""

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.log("val/loss", self.losses.pop(0))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


@dataclasses.dataclass(frozen=True)
class Known:
    """What the trainer knew of one file's step: ``metrics`` are those of a validation on it."""

    epoch: int
    global_step: int
    metrics: Mapping[str, float]


class Witness(Callback):  # type: ignore[misc]
    """Notes what the trainer knows whenever it makes up a checkpoint, before anything of it is written, and what each
    validation finds."""

    def __init__(self) -> None:
        self.latest: Known | None = None
        self.found: dict[int, dict[str, float]] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.found.setdefault(trainer.global_step, {}).update(metrics)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        found = self.found.setdefault(trainer.global_step, {})
        self.latest = Known(trainer.current_epoch, trainer.global_step, found)


class WitnessedIO(TorchCheckpointIO):  # type: ignore[misc]
    """Keeps, for each file on disk, what the witness noted for it."""

    def __init__(self, witness: Witness) -> None:
        super().__init__()
        self.witness = witness
        self.files: dict[str, Known] = {}
        self.removed = 0

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str, storage_options: Any = None) -> None:
        super().save_checkpoint(checkpoint, path, storage_options)
        assert self.witness.latest is not None
        self.files[str(path)] = self.witness.latest

    def remove_checkpoint(self, path: str) -> None:
        super().remove_checkpoint(path)
        self.removed += 1
        del self.files[str(path)]


def clouds() -> DataLoader[tuple[Tensor, ...]]:
    labels = torch.arange(48) % 2
    points = torch.randn(48, 2) * 0.3 + (labels * 4 - 2).unsqueeze(1)
    return DataLoader(TensorDataset(points, labels), batch_size=8)


def noise(*, sign: int) -> DataLoader[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.randn(24, 4, generator=generator), torch.randn(24, 1, generator=generator)
    return DataLoader(TensorDataset(inputs, sign * targets), batch_size=8)


def fit(
    model: pl.LightningModule,
    loaders: tuple[DataLoader[Any], DataLoader[Any]],
    folder: Path,
    keepers: list[ModelCheckpoint],
    *,
    fails: bool = False,
    **options: Any,
) -> WitnessedIO:
    """Train ``model`` into ``folder``, to the end or to its own exception. Returns what was known at each save."""
    witness = Witness()
    witnessed = WitnessedIO(witness)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        callbacks=[witness, *keepers],
        plugins=[witnessed],
        logger=CSVLogger(folder, name="csv"),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": EPOCHS, **options},
    )
    with pytest.raises(RuntimeError, match="as the test wants it") if fails else contextlib.nullcontext():
        trainer.fit(model, *loaders)
    return witnessed


def scan(root: Path, database: Path) -> dict[str, Checkpoint]:
    """Every row, by path."""
    with Catalog.open(f"sqlite:///{database}") as catalog:
        report = catalog.scan(root)
        rows: list[Checkpoint] = catalog.search("", max_results=None)
    assert report.total == len(rows)
    assert not report.problems
    return {row.path: row for row in rows}


def scalar_hparams(model: pl.LightningModule) -> dict[str, object]:
    return dict(model.hparams)


NAMES: dict[str, dict[str, Any]] = {
    "default": {},
    "link": {"save_last": "link"},
    "constant": {"filename": "best"},
    "metric": {"filename": "{epoch}-{%s:.2f}"},
    "bare": {"filename": "{epoch:02d}-{%s:.1f}", "auto_insert_metric_name": False},
}
"""How files are named: ``metric`` makes a folder for each (``epoch=1-val/loss=0.30.ckpt``), ``bare`` numbers only."""

NAMES_WITH_STEP = ("default", "link")


@pytest.mark.parametrize("naming", NAMES)
def test_each_row_is_what_the_trainer_knew_at_that_save(tmp_path: Path, naming: str) -> None:
    pl.seed_everything(11, verbose=False)
    outputs = tmp_path / "outputs"
    known: dict[str, Known] = {}
    models: dict[str, pl.LightningModule] = {}
    removed = 0
    for name, model, loaders, top in (
        ("separator", Separator(), (clouds(), clouds()), 2),
        ("memoriser", Memoriser(), (noise(sign=1), noise(sign=-1)), 2),
    ):
        folder = outputs / name
        options = {"save_last": True, **NAMES[naming]}
        if "filename" in options:
            options["filename"] = options["filename"].replace("%s", model.monitor)
        keeper = ModelCheckpoint(
            dirpath=folder / "checkpoints", monitor=model.monitor, mode=model.mode, save_top_k=top, **options
        )
        witnessed = fit(model, loaders, folder, [keeper])
        removed += witnessed.removed
        for path, facts in witnessed.files.items():
            known[path] = facts
            models[path] = model
        if naming == "link":
            link = folder / "checkpoints" / "last.ckpt"
            known[str(link)], models[str(link)] = known[str(link.resolve())], model
    assert removed or naming == "constant", "top-k deleted nothing: the training proves less than it should"
    assert any(facts.epoch == 0 for facts in known.values())
    assert any(facts.metrics[models[path].monitor] == 0.0 for path, facts in known.items())

    rows = scan(outputs, tmp_path / "catalog.db")

    assert set(rows) == set(known)
    for path, row in rows.items():
        facts, model = known[path], models[path]
        assert (row.epoch, row.global_step) == (facts.epoch, facts.global_step), path
        assert (row.monitor, row.monitor_mode) == (model.monitor, model.mode), path
        assert row.state == "ready"
        assert (row.source, row.stale) == ("legacy", False)
        for name, value in scalar_hparams(model).items():
            assert name in row.params, (path, name)
            assert row.params[name] == value, (path, name)
        assert row.weights is not None
        assert row.weights.num_parameters == sum(parameter.numel() for parameter in model.parameters())
        check_metrics(row, facts)
        if Path(path).name != "last.ckpt" or (naming in NAMES_WITH_STEP and facts.global_step in steps_of(path, known)):
            assert model.monitor in row.metrics, path
        # Any other last.ckpt may have no metric: its header holds the score of the latest top-k save, and nothing that
        # says at which step that was. Lightning before 2.6 saves it after each epoch, in the top k or not, and any
        # Lightning does so on an exception: the same state then stands beside a later step.


def steps_of(path: str, known: Mapping[str, Known]) -> set[int]:
    """The steps at which the top-k files beside ``path`` were saved."""
    return {
        facts.global_step
        for other, facts in known.items()
        if Path(other).parent == Path(path).parent and Path(other).name != "last.ckpt"
    }


def check_metrics(row: Checkpoint, facts: Known) -> None:
    """Right, or absent: whatever the row says of a metric is what the trainer knew at that save."""
    for name, value in row.metrics.items():
        assert name in facts.metrics, (row.path, name)
        assert value == pytest.approx(facts.metrics[name], rel=1e-6, nan_ok=True), (row.path, name)


LOSSES = (0.5, 0.3, 0.4, 0.9, 0.2, 0.8, 0.7, 0.6, 0.1, 0.65, 0.66, 0.67)
NAN = (0.5, math.nan, 0.2, math.nan, 0.7)
NEARLY = (0.304, 0.301, 0.303, 0.302, 0.3)

TRAPS: dict[str, tuple[list[dict[str, Any]], tuple[float, ...], int | None, dict[str, Any]]] = {
    # last.ckpt is saved by steps, after a validation whose loss wasn't in the top k
    "every_n_train_steps": ([{"every_n_train_steps": 3}], LOSSES, None, {}),
    "every_n_train_steps, constant name": ([{"every_n_train_steps": 3, "filename": "best"}], LOSSES, None, {}),
    # between two validations, all of them kept: the entry has the score of the older one, and so has the name
    "every_n_train_steps, all kept": ([{"every_n_train_steps": 3, "save_top_k": -1}], LOSSES, None, {}),
    "every_n_train_steps, in the name": (
        [{"every_n_train_steps": 3, "save_top_k": -1, "filename": "{epoch}-{step}-{val/loss:.2f}"}],
        LOSSES,
        None,
        {},
    ),
    "every_n_train_steps and validations, two callbacks": (
        [{"every_n_train_steps": 2, "save_top_k": -1, "save_last": False}, {"save_top_k": -1}],
        LOSSES,
        None,
        {"val_check_interval": 0.5},
    ),
    "epochs without a validation": (
        [{"save_top_k": -1, "save_on_train_epoch_end": True}],
        LOSSES,
        None,
        {"check_val_every_n_epoch": 2},
    ),
    "several validations an epoch": ([{"filename": "{epoch}"}], LOSSES, None, {"val_check_interval": 0.5}),
    # the state has infinity for a loss that was NaN
    "nan": ([{"save_top_k": -1}], NAN, None, {}),
    # two folders hold files of one name: epoch=1-val/loss=0.30.ckpt, epoch=3-val/loss=0.30.ckpt
    "equal names": ([{"filename": "{epoch}-{val/loss:.2f}", "save_top_k": 4}], NEARLY, None, {}),
    # best.ckpt is overwritten at step 14, though the state still has the loss it had at step 8
    "exception": ([{"filename": "best", "save_on_exception": True}], LOSSES, 14, {}),
    "exception, default names": ([{"save_on_exception": True}], LOSSES, 14, {}),
    # the second callback overwrites the file of the first
    "one name, two callbacks": (
        [
            {"filename": "best", "save_last": False, "mode": mode, "enable_version_counter": False}
            for mode in ("min", "max")
        ],
        LOSSES[:4],
        None,
        {"max_epochs": 4},
    ),
    "two callbacks": ([{"mode": "min", "save_last": False}, {"mode": "max"}], LOSSES, None, {}),
    "no top k": ([{"save_top_k": 0}], LOSSES, None, {}),
    "every second epoch": ([{"every_n_epochs": 2, "save_top_k": 1}], LOSSES, None, {}),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_metric_is_never_that_of_another_save(tmp_path: Path, trap: str) -> None:
    callbacks, losses, fails_at, options = TRAPS[trap]
    outputs = tmp_path / "outputs"
    folder = outputs / "run"
    model = Scripted(losses=losses, fails_at=fails_at)
    keepers = [
        ModelCheckpoint(**{"dirpath": folder / "checkpoints", "monitor": "val/loss", "save_last": True, **callback})
        for callback in callbacks
    ]
    points = DataLoader(TensorDataset(torch.randn(32, 2), torch.arange(32) % 2), batch_size=8)
    witness = fit(model, (points, points), folder, keepers, fails=fails_at is not None, **options)

    for attempt in ("with metrics.csv", "without"):
        rows = scan(outputs, tmp_path / f"{attempt}.db")
        assert set(rows) == set(witness.files)
        for path, row in rows.items():
            facts = witness.files[path]
            assert (row.epoch, row.global_step) == (facts.epoch, facts.global_step), path
            check_metrics(row, facts)
        for table in outputs.rglob("metrics.csv"):
            table.unlink()
