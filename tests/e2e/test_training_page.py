"""docs/training.md can't lie: its blocks are run one after the other, as real trainings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import instantiate
from lightning.pytorch import Trainer

from catalogdb import Catalog, MetadataValidator
from catalogdb.records import EMBEDDED_KEY
from tests.e2e.callback_training import Detector, loaders

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings("ignore::UserWarning"),  # Lightning's advice for trainings that are longer than these
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
]


def ocr_run(block: str) -> None:
    """The callbacks of a config, instantiated by Hydra as a training script does it."""
    callbacks = [*instantiate(yaml.safe_load(block))["callbacks"].values()]
    Trainer(max_epochs=2, accelerator="cpu", devices=1, callbacks=callbacks).fit(Detector(), *loaders())


def test_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train_loader, val_loader = loaders()
    scores = iter((0.2, 0.5, 0.7))
    names: dict[str, Any] = {
        "model": Detector(),
        "train_loader": train_loader,
        "val_loader": val_loader,
        "train_and_validate": lambda model: next(scores),
    }
    assert [kind for kind, _ in BLOCKS] == ["python", "yaml", "python", "python"]
    for kind, block in BLOCKS:
        if kind == "yaml":
            ocr_run(block)
        else:
            exec(block, names)
    trained = [path for name in ("dbnet", "hydra") for path in (tmp_path / "outputs" / name).rglob("*.ckpt")]
    assert len(trained) == 3 + 1
    for path in trained:
        assert EMBEDDED_KEY in torch.load(path, weights_only=True)
    report = MetadataValidator().validate_directory(tmp_path / "outputs")
    assert (report.valid, len(report.results)) == (7, 7), report.summary()
    with Catalog.open(tmp_path / "catalog.db") as catalog:
        assert {row.exp_name for row in catalog.search()} == {"dbnet", "hydra", "plain"}
