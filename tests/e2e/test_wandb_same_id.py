"""One id of two trainings: in two trees, in one ``wandb`` folder, in two projects. A value is its own, or none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from catalogdb import Catalog
from catalogdb.records import Checkpoint
from catalogdb.settings import Settings, load_settings
from tests import wandb_log

AXIS = "trainer/global_step"
FIRST, SECOND, THIRD = "20261018_100000", "20261019_100000", "20261020_100000"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings(overrides={"url": str(tmp_path / "catalog.db"), "offline": True})


def train(
    place: Path,
    *losses: float,
    run_id: str = "baseline",
    at: str = FIRST,
    config: dict[str, Any] | None = None,
    **told: str,
) -> None:
    """A training's log, of a validation at step 49, ten batches an epoch; ``losses`` of several fits, one after the
    other."""
    records = [wandb_log.run(run_id, config={"lr": losses[0] / 10} if config is None else config, **told)]
    for number, loss in enumerate(losses):
        row = {AXIS: 49, "epoch": 4, "val/loss": loss, "val/acc": 1 - loss}
        records += [wandb_log.history(number, row), wandb_log.summary(row), wandb_log.ended()]
    wandb_log.write_run(place, run_id, records, at=at)


def save(path: Path, *, score: float | None = None, step: int = 50, **hyper: Any) -> None:
    """A checkpoint by Lightning, at the end of an epoch of ten batches."""
    epoch = step // 10 - 1
    batches = dict.fromkeys(("ready", "started", "processed", "completed"), 10)
    epochs = {**dict.fromkeys(("ready", "started", "processed"), epoch + 1), "completed": epoch}
    fit = {
        "epoch_loop.state_dict": {"_batches_that_stepped": step},
        "epoch_loop.batch_progress": {"current": batches, "total": batches, "is_last_batch": True},
        "epoch_loop.val_loop.batch_progress": {"current": batches, "total": batches, "is_last_batch": True},
        "epoch_progress": {"current": epochs, "total": epochs},
    }
    callback = {"monitor": "val/loss", "current_score": None if score is None else torch.tensor(score)}
    name = f"/gone/{path.name}"
    best = {} if score is None else {name: torch.tensor(score)}
    state = {
        "epoch": epoch,
        "global_step": step,
        "pytorch-lightning_version": "2.6.0",
        "loops": {"fit_loop": fit},
        "callbacks": {"ModelCheckpoint{'monitor': 'val/loss', 'mode': 'min'}": {**callback, "best_k_models": best}},
        "hyper_parameters": hyper,
        "state_dict": {"w": torch.zeros(2)},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)


def scanned(settings: Settings, *roots: Path, full: bool = False) -> dict[str, Checkpoint]:
    """Rows by what their file is called; an experiment's checkpoint by its folder."""
    with Catalog.open(settings=settings) as catalog:
        for root in roots:
            catalog.scan(root, full=full)
        rows = catalog.search("", max_results=None)
    return {str(Path(row.path).relative_to(Path(row.root).parent)): row for row in rows}


def losses(rows: dict[str, Checkpoint]) -> dict[str, tuple[float | None, Any]]:
    return {path.split("/")[0]: (row.metrics.get("val/loss"), row.params.get("lr")) for path, row in rows.items()}


def test_two_trees_have_a_run_of_one_id(tmp_path: Path, settings: Settings) -> None:
    for place, loss, project in (("one", 0.9, "ocr"), ("other", 0.2, "seg"), ("third", 0.5, "seg")):
        train(tmp_path / place, loss, project=project)
        save(tmp_path / place / "checkpoints" / "last.ckpt", wandb_run_id="baseline")
    roots = [tmp_path / name for name in ("one", "other", "third")]
    truth = {"one": (0.9, 0.09), "other": (0.2, 0.02), "third": (0.5, 0.05)}
    assert losses(scanned(settings, *roots)) == truth
    assert losses(scanned(settings, *roots, full=True)) == truth
    for root in roots[1:]:
        shutil.rmtree(root / "wandb")
    assert losses(scanned(settings, *roots, full=True)) == truth, "each remembers its own"


def test_a_run_of_elsewhere_counts_where_a_score_tells(tmp_path: Path, settings: Settings) -> None:
    train(tmp_path / "one", 0.9)
    save(tmp_path / "one" / "checkpoints" / "last.ckpt", wandb_run_id="baseline")
    save(tmp_path / "alien" / "checkpoints" / "last.ckpt", wandb_run_id="baseline")
    save(tmp_path / "moved" / "checkpoints" / "last.ckpt", score=0.9, wandb_run_id="baseline")
    rows = scanned(settings, *(tmp_path / name for name in ("one", "alien", "moved")))
    found = losses(rows)
    assert found["alien"] == (None, None)
    assert found["moved"][1] == 0.09
    assert rows["moved/checkpoints/last.ckpt"].metrics["val/acc"] == pytest.approx(0.1)


def test_trained_anew_where_it_was(tmp_path: Path, settings: Settings) -> None:
    """Of an id's log that is another by now nothing counts any more."""
    train(tmp_path / "one", 0.9)
    save(tmp_path / "one" / "checkpoints" / "last.ckpt", wandb_run_id="baseline")
    assert losses(scanned(settings, tmp_path / "one")) == {"one": (0.9, 0.09)}
    shutil.rmtree(tmp_path / "one")
    train(tmp_path / "one", 0.2, at=SECOND)
    save(tmp_path / "one" / "checkpoints" / "last.ckpt", wandb_run_id="baseline")
    assert losses(scanned(settings, tmp_path / "one")) == {"one": (0.2, 0.02)}


def test_a_log_that_goes_over_a_step_again(tmp_path: Path, settings: Settings) -> None:
    """A second ``fit`` in one process: what was read of the first one's rows isn't the second's."""
    train(tmp_path / "one", 0.9)
    save(tmp_path / "one" / "checkpoints" / "last.ckpt", wandb_run_id="baseline")
    assert losses(scanned(settings, tmp_path / "one")) == {"one": (0.9, 0.09)}
    train(tmp_path / "one", 0.9, 0.2)
    save(tmp_path / "one" / "checkpoints" / "last-v1.ckpt", score=0.2, wandb_run_id="baseline")
    rows = scanned(settings, tmp_path / "one")
    second = rows["one/checkpoints/last-v1.ckpt"]
    assert second.metrics["val/acc"] == 0.8
    assert second.problems == ()


def test_two_trainings_in_one_folder(tmp_path: Path, settings: Settings) -> None:
    """Of rows that are as likely, and of configs, what they say alike counts."""
    for at, loss in ((FIRST, 0.9), (SECOND, 0.2)):
        train(tmp_path / "one", loss, at=at, config={"lr": loss / 10, "model": {"depth": 18, "seed": loss}})
    checkpoints = tmp_path / "one" / "checkpoints"
    save(checkpoints / "unscored.ckpt", wandb_run_id="baseline")
    save(checkpoints / "first.ckpt", score=0.9, wandb_run_id="baseline")
    rows = scanned(settings, tmp_path / "one")
    unscored, first = (rows[f"one/checkpoints/{name}.ckpt"] for name in ("unscored", "first"))
    assert unscored.metrics == {}
    assert first.metrics == pytest.approx({"val/loss": 0.9, "val/acc": 0.1})
    for row in (unscored, first):
        assert row.params == {"model.depth": 18, "wandb_run_id": "baseline"}


def test_two_projects_in_one_folder(tmp_path: Path, settings: Settings) -> None:
    train(tmp_path, 0.9, at=FIRST, project="ocr")
    train(tmp_path, 0.2, at=SECOND, project="seg")
    for project in ("ocr", "seg", "det"):
        save(tmp_path / project / "checkpoints" / "last.ckpt")
        text = f"logger: {{wandb: {{id: baseline, project: {project}}}}}\n"
        (tmp_path / project / "config.yaml").write_text(text, encoding="utf-8")
    save(tmp_path / "nobody" / "checkpoints" / "last.ckpt", wandb_run_id="baseline")
    for full in (False, True):
        found = losses(scanned(settings, *(tmp_path / name for name in ("ocr", "seg", "det", "nobody")), full=full))
        assert found == {"ocr": (0.9, 0.09), "seg": (0.2, 0.02), "det": (None, None), "nobody": (None, None)}


def test_a_sweep_whose_runs_share_the_parameters(tmp_path: Path, settings: Settings) -> None:
    """Parameters tell a run that lies near only where no other one has them; a score does."""
    shared: dict[str, Any] = {"arch": "pan", "encoder": "resnet18", "classes": 2}
    for number, loss in enumerate((0.9, 0.2)):
        train(tmp_path, loss, run_id=f"aaaa111{number}", config={**shared, "lr": loss / 10})
    save(tmp_path / "exp" / "checkpoints" / "last.ckpt", **shared)
    save(tmp_path / "scored" / "checkpoints" / "last.ckpt", score=0.2, **shared)
    save(tmp_path / "whole" / "checkpoints" / "last.ckpt", **shared, lr=0.09)
    rows = scanned(settings, *(tmp_path / name for name in ("exp", "scored", "whole")))
    runs = {path.split("/")[0]: row.wandb_run_id for path, row in rows.items()}
    assert runs == {"exp": None, "scored": "aaaa1111", "whole": "aaaa1110"}
    assert rows["exp/checkpoints/last.ckpt"].metrics == {}
