"""Real trainings with MetadataCallback, one for each case: after it each checkpoint's record and sidecar are true."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import AsyncCheckpointIO

from catalogdb import Catalog
from catalogdb.lightning import MetadataCallback
from catalogdb.records import EMBEDDED_KEY
from tests.e2e.callback_training import (
    Adversaries,
    Detector,
    Known,
    SeedCallback,
    complaints,
    loaders,
    trainer_of,
)

pytestmark = [
    pytest.mark.training,
    # Lightning's own: of torch's pytree, and advice for trainings that are longer than these
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The '(train|val)_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.ModelCheckpoint.* could not find the monitored key"),
    pytest.mark.filterwarnings("ignore:.*that has .requires_grad. set to True to a scalar"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]

REPOSITORY = Path(__file__).resolve().parents[2]
Keepers = list[dict[str, Any]]
TOP: dict[str, Any] = {"monitor": "val/hmean", "mode": "max", "save_top_k": 2}
CASES: dict[str, tuple[Keepers, dict[str, Any]]] = {
    "top k": ([TOP], {"max_epochs": 6}),
    "several callbacks": (
        [TOP, {"monitor": "val/loss", "filename": "loss-{epoch}"}, {"filename": "all-{step}", "save_top_k": -1}],
        {},
    ),
    "save_last": ([{**TOP, "save_last": True}], {"max_epochs": 5}),
    "save_last link": ([{**TOP, "save_last": "link"}], {"max_epochs": 5}),
    "every_n_train_steps": ([{"every_n_train_steps": 3, "save_top_k": -1}, {**TOP, "every_n_train_steps": 3}], {}),
    "an epoch without a validation": (
        [{**TOP, "save_top_k": -1, "save_on_train_epoch_end": True}],
        {"check_val_every_n_epoch": 2},
    ),
    "several validations an epoch": ([{**TOP, "save_last": True}], {"val_check_interval": 0.5, "max_epochs": 3}),
    "gradient accumulation": ([{**TOP, "save_last": True}], {"accumulate_grad_batches": 3}),
    "weights only": ([{**TOP, "save_weights_only": True, "save_last": True}], {}),
    "one name": ([{"filename": "best", **TOP, "save_top_k": 1, "enable_version_counter": False}], {}),
    "a metric in the name": ([{**TOP, "filename": "{epoch}-{val/hmean:.2f}"}], {}),
}
SEED_IS_RIGHT = ("weights only", "one name")
"""With a constant name the seed's callback rewrites the sidecar of the very file; of weights it hears nothing."""


def keepers_of(folder: Path, keepers: Keepers) -> list[ModelCheckpoint]:
    return [ModelCheckpoint(**{"dirpath": folder / "checkpoints", **options}) for options in keepers]


def check(folder: Path, noted: Mapping[str, Known], tmp_path: Path) -> None:
    """The files, then the rows that a scan makes of them; of their sidecars, and of the records in them alone."""
    assert list(complaints(folder, noted)) == []
    checkpoints = sorted(str(path) for path in folder.rglob("*.ckpt"))
    assert checkpoints
    for attempt in ("with sidecars", "without"):
        with Catalog.open(tmp_path / f"{attempt}.db") as catalog:
            report = catalog.scan(folder)
            rows = {row.path: row for row in catalog.search("", max_results=None)}
        assert (report.yaml, report.problems, sorted(rows)) == (len(checkpoints), (), checkpoints)
        for path, row in rows.items():
            known = noted[str(Path(path).resolve())]
            assert (row.epoch, row.global_step) == (known.epoch, known.global_step)
            logged = {name: value for name, value in row.metrics.items() if name in known.metrics}
            assert repr(sorted(logged.items())) == repr(sorted(known.metrics.items()))
            assert {name for name in row.metrics if name.startswith("val/")} <= known.metrics.keys()
            assert row.hmean == known.metrics.get("val/hmean")
            assert (row.architecture, row.backbone, row.head, row.decoder) == ("dbnet", "resnet18", "Linear", None)
            assert row.provenance["epoch"]["source"] == Path(path).name, "the record in the file counts first"
        for sidecar in folder.rglob("*.metadata.yaml"):
            sidecar.unlink()


def assert_is_wrong(seed: Path, folder: Path, noted: Mapping[str, Known], *, of_another_step: bool = True) -> None:
    """The baseline fails on the same run; mostly by the numbers of another step."""
    wrong = list(complaints(folder, noted, sidecars=seed))
    assert wrong
    if of_another_step:
        assert any(" is about " in complaint for complaint in wrong), wrong


@pytest.mark.parametrize("case", CASES)
def test_every_checkpoint_says_what_was_true_of_it(tmp_path: Path, case: str) -> None:
    keepers, options = CASES[case]
    folder = tmp_path / "run"
    seed = SeedCallback(tmp_path / "seed")
    trainer = trainer_of(folder, MetadataCallback(), seed, *keepers_of(folder, keepers), **options)
    trainer.fit(Detector(), *loaders())

    assert_is_wrong(seed.folder, folder, trainer.noted, of_another_step=case not in SEED_IS_RIGHT)
    check(folder, trainer.noted, tmp_path)


def test_two_optimizers(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    seed = SeedCallback(tmp_path / "seed")
    trainer = trainer_of(folder, MetadataCallback(), seed, *keepers_of(folder, [{**TOP, "save_last": True}]))
    trainer.fit(Adversaries(), *loaders())
    assert trainer.global_step == 2 * 4 * 4
    assert_is_wrong(seed.folder, folder, trainer.noted)
    check(folder, trainer.noted, tmp_path)


class SavesAtWill(Detector):
    """Saves in the middle of an epoch, as code of one's own does."""

    def on_train_batch_end(self, *_: object) -> None:
        if self.trainer.global_step in (2, 6):
            self.trainer.save_checkpoint(f"{self.trainer.default_root_dir}/mine/at-{self.trainer.global_step}.ckpt")


def test_saving_by_hand_during_and_after_the_training(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    seed = SeedCallback(tmp_path / "seed")
    trainer = trainer_of(folder, MetadataCallback(), seed, *keepers_of(folder, [TOP]), max_epochs=2)
    trainer.fit(SavesAtWill(), *loaders())
    trainer.save_checkpoint(folder / "final.ckpt")
    trainer.save_checkpoint(folder / "weights.ckpt", weights_only=True)
    assert len(list(folder.rglob("*.ckpt"))) == 6
    for step in (2, 6):
        assert trainer.noted[str(folder / f"mine/at-{step}.ckpt")].metrics.keys() == {"train/loss"}
    assert_is_wrong(seed.folder, folder, trainer.noted)
    check(folder, trainer.noted, tmp_path)


def test_resume(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    keepers: Keepers = [{**TOP, "save_last": True}]
    first = trainer_of(folder, MetadataCallback(), *keepers_of(folder, keepers), max_epochs=2)
    first.fit(Detector(), *loaders())
    seed = SeedCallback(tmp_path / "seed")
    second = trainer_of(folder, MetadataCallback(), seed, *keepers_of(folder, keepers), max_epochs=6)
    second.fit(Detector(), *loaders(), ckpt_path=str(folder / "checkpoints" / "last.ckpt"))
    assert (second.current_epoch, second.global_step) == (6, 24)
    noted = {**first.noted, **second.noted}
    assert_is_wrong(seed.folder, folder, noted)
    check(folder, noted, tmp_path)


def test_files_that_are_written_in_another_thread(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    keepers: Keepers = [{**TOP, "save_last": True}, {"filename": "weights-{epoch}", "save_weights_only": True}]
    seed = SeedCallback(tmp_path / "seed")
    trainer = trainer_of(
        folder, MetadataCallback(), seed, *keepers_of(folder, keepers), plugins=[AsyncCheckpointIO()], max_epochs=6
    )
    trainer.fit(Detector(), *loaders())
    assert_is_wrong(seed.folder, folder, trainer.noted)
    check(folder, trainer.noted, tmp_path)


def test_a_trainer_of_the_other_package(tmp_path: Path) -> None:
    _, noted = alone("links", tmp_path / "run", package="pytorch_lightning")
    assert_is_wrong(tmp_path / "seed", tmp_path / "run", noted)
    check(tmp_path / "run", noted, tmp_path)


def alone(case: str, folder: Path, *, package: str = "lightning.pytorch") -> tuple[str, dict[str, Known]]:
    """Trains in a process of its own. What it said on stderr, and what was noted."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.e2e.callback_training", case, str(folder)]
    environment = {**os.environ, "TRAIN_WITH": package}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    noted = folder / "noted.json"
    known = {path: Known(**each) for path, each in json.loads(noted.read_text(encoding="utf-8")).items()}
    noted.unlink()
    return done.stderr, known


def test_two_processes_write_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    _, noted = alone("two_processes", folder)
    assert {Path(path).parent.name for path in noted} == {"checkpoints", "weights"}
    assert_is_wrong(tmp_path / "seed", folder, noted)
    check(folder, noted, tmp_path)


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """A save with no room for the sidecar leaves none, not even the old one; one that fails leaves what was there."""
    folder = tmp_path / "run"
    said, noted = alone("full_disk", folder)
    assert said.count("catalogdb: writing the sidecar") == 1, said
    assert "the training ended at step 16" in said
    (checkpoint,) = (path for path in folder.rglob("*") if path.is_file())
    record = torch.load(checkpoint, weights_only=True)[EMBEDDED_KEY]
    assert record["training"]["global_step"] == noted[str(checkpoint)].global_step == 12


class Broken(Detector):
    """Asked for its parts, it fails."""

    @property
    def decoder(self) -> Any:
        raise RuntimeError("not now")


def test_a_failure_is_one_warning_and_the_training_is_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights: list[Mapping[str, Any]] = []
    for name, callbacks in (("with", [MetadataCallback()]), ("without", [])):
        torch.manual_seed(5)
        folder = tmp_path / name
        model = Broken()
        trainer = trainer_of(folder, *callbacks, *keepers_of(folder, [TOP]))
        trainer.fit(model, *loaders())
        weights.append(model.state_dict())
        assert len(list(folder.rglob("*.ckpt"))) == 2
        assert not list(folder.rglob("*.yaml"))
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    (record,) = [record for record in caplog.records if record.name.startswith("catalogdb")]
    assert record.levelno == logging.WARNING
    assert "RuntimeError: not now" in record.getMessage()


# -- what it knows of the run -----------------------------------------------------------------------------------------

CONFIG = """\
exp_name: from-hydra
model:
  architecture_name: craft
  encoder: {_target_: ocr.TimmBackbone, model_name: resnet50, pretrained: false}
  decoder: {_target_: ocr.decoders.PanDecoder, in_channels: [64, 128], inner_channels: 32, bias: true, ref: "${x}"}
  head: {name: db_head, in_channels: 32, k: 50}
  loss: {_target_: ocr.losses.DBLoss, alpha: 1.5, reduction: mean}
"""


class Bare(Detector):
    """Without hyperparameters that name a model."""

    def __init__(self) -> None:
        super().__init__()
        self._hparams = type(self.hparams)()
        self._hparams_initial = type(self.hparams)()
        self._lr = 0.01

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self._lr)


def record_of(folder: Path, callback: MetadataCallback, model: Any = None, **options: Any) -> dict[str, Any]:
    trainer = trainer_of(folder, callback, *keepers_of(folder, [TOP]), **{"max_epochs": 1, **options})
    trainer.fit(model or Bare(), *loaders())
    (checkpoint,) = folder.rglob("*.ckpt")
    record: dict[str, Any] = torch.load(checkpoint, weights_only=True)[EMBEDDED_KEY]
    assert repr(yaml.safe_load(checkpoint.with_suffix(".metadata.yaml").read_text(encoding="utf-8"))) == repr(record)
    return record


OF_CONFIG = {
    "architecture": "craft",
    "encoder": {"model_name": "resnet50", "pretrained": False, "frozen": False},
    "decoder": {"name": "PanDecoder", "in_channels": [64, 128], "inner_channels": 32, "params": {"bias": True}},
    "head": {"name": "db_head", "in_channels": 32, "params": {"k": 50}},
    "loss": {"name": "DBLoss", "params": {"alpha": 1.5}},
}


def test_the_config_above_the_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / ".hydra" / "config.yaml").write_text(CONFIG, encoding="utf-8")
    record = record_of(tmp_path / "run", MetadataCallback())
    assert record["model"] == OF_CONFIG
    assert record["exp_name"] == "from-hydra"
    assert record["hydra_config_path"] == "run/.hydra/config.yaml"


def test_a_config_that_is_handed_over(tmp_path: Path) -> None:
    callback = MetadataCallback(
        config=yaml.safe_load(CONFIG), exp_name="mine", outputs_dir=tmp_path, training_phase="finetuning"
    )
    record = record_of(tmp_path / "a" / "run", callback)
    assert record["model"] == OF_CONFIG
    assert record["exp_name"] == "mine"
    assert record["checkpoint_path"].startswith("a/run/checkpoints/epoch=0-")
    assert record["training"]["training_phase"] == "finetuning"
    assert "hydra_config_path" not in record


def test_the_module_itself(tmp_path: Path) -> None:
    model: Any = Bare()
    model.architecture = "mine"
    model.encoder.model_name = "resnet34"
    model.encoder.requires_grad_(False)
    record = record_of(tmp_path / "run", MetadataCallback(), model)
    assert record["model"] == {
        "architecture": "mine",
        "encoder": {"model_name": "resnet34", "frozen": True},
        "decoder": {"name": "unknown"},
        "head": {"name": "Linear"},
        "loss": {"name": "CrossEntropyLoss"},
    }
    assert "wandb_run_id" not in record


def test_hyperparameters_before_the_config_before_the_module(tmp_path: Path) -> None:
    record = record_of(tmp_path / "run", MetadataCallback(config=yaml.safe_load(CONFIG)), Detector())
    names = {part: record["model"][part] for part in ("architecture", "head")}
    assert names == {"architecture": "dbnet", "head": OF_CONFIG["head"]}
    assert record["model"]["encoder"]["model_name"] == "resnet18"


def test_without_sidecars(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, MetadataCallback(sidecars=False), *keepers_of(tmp_path, [TOP]), max_epochs=1)
    trainer.fit(Detector(), *loaders())
    assert not list(tmp_path.rglob("*.yaml"))
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    assert EMBEDDED_KEY in torch.load(checkpoint, weights_only=True)


def test_the_run_of_a_wandb_logger(tmp_path: Path) -> None:
    alone("wandb", tmp_path / "outputs")
    for name, said in (("named", "team/ocr/abc123de"), ("nameless", "abc123de"), ("disabled", None)):
        (checkpoint,) = (tmp_path / "outputs" / name).rglob("*.ckpt")
        assert torch.load(checkpoint, weights_only=True)[EMBEDDED_KEY].get("wandb_run_id") == said


def test_without_lightning_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules.update({'lightning': None, 'lightning.pytorch': None, 'pytorch_lightning': None})\n"
        "import catalogdb.lightning"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install 'catalogdb[lightning]'" in done.stderr.splitlines()[-1]
