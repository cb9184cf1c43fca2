"""Runs as they are found: half copied, moved apart, two in one folder, under names that nobody foresaw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.records import Checkpoint
from tests.e2e.layout_trees import WEIGHTS, lightning, save, text

pytest.importorskip("torch")


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with Catalog.open("sqlite://") as opened:
        yield opened


def scanned(catalog: Catalog, root: Path) -> dict[str, Checkpoint]:
    catalog.scan(root)
    return {row.rel_path: row for row in catalog.search("state IS NOT NULL", max_results=None)}


def metrics(catalog: Catalog, root: Path) -> dict[str, dict[str, float]]:
    return {path: dict(row.metrics) for path, row in scanned(catalog, root).items()}


def test_a_run_that_was_half_copied(tmp_path: Path, catalog: Catalog) -> None:
    """One file is whole, one is cut; the metrics file came, the config didn't."""
    run = tmp_path / "proj" / "dbnet"
    for epoch in (0, 1):
        save(run / "checkpoints" / f"epoch={epoch}-step={10 * epoch + 10}.ckpt", lightning(epoch, 10 * epoch + 10))
    cut = run / "checkpoints" / "epoch=1-step=20.ckpt"
    cut.write_bytes(cut.read_bytes()[:600])
    text(run / "metrics.csv", "epoch,step,val/loss\n0,9,0.75\n1,19,0.")
    rows = scanned(catalog, tmp_path / "proj")
    whole, half = (rows[f"dbnet/checkpoints/epoch={epoch}-step={10 * epoch + 10}.ckpt"] for epoch in (0, 1))
    assert (whole.state, whole.metrics, whole.params) == ("ready", {"val/loss": 0.75}, {"lr": 0.1})
    assert half.state in ("writing", "truncated")
    assert (half.epoch, half.global_step, half.metrics, half.params) == (1, 20, {}, {})


def test_checkpoints_that_were_parted_from_their_run(tmp_path: Path, catalog: Catalog) -> None:
    """Beside the metrics file of another run, whose rows of that step are of another epoch."""
    run = tmp_path / "proj" / "other"
    save(run / "checkpoints" / "epoch=4-step=20.ckpt", lightning(4, 20))
    text(run / "metrics.csv", "epoch,step,val/loss\n0,9,0.75\n1,19,0.5\n")
    assert metrics(catalog, tmp_path / "proj") == {"other/checkpoints/epoch=4-step=20.ckpt": {}}


def test_two_runs_that_logged_into_one_file(tmp_path: Path, catalog: Catalog) -> None:
    """What both logged on a step, and differently, is nobody's."""
    run = tmp_path / "proj" / "both"
    for name, step in (("dbnet", 10), ("craft", 10), ("craft", 20)):
        save(run / f"{name}-epoch={step // 10 - 1}-step={step}.ckpt", lightning(step // 10 - 1, step))
    text(run / "metrics.csv", "epoch,step,val/loss,lr\n0,9,0.75,0.1\n0,9,0.5,0.1\n1,19,0.25,0.1\n")
    assert metrics(catalog, tmp_path / "proj") == {
        "both/dbnet-epoch=0-step=10.ckpt": {"lr": 0.1},
        "both/craft-epoch=0-step=10.ckpt": {"lr": 0.1},
        "both/craft-epoch=1-step=20.ckpt": {"val/loss": 0.25, "lr": 0.1},
    }


def test_two_runs_whose_names_tell_them_apart(tmp_path: Path, catalog: Catalog) -> None:
    """In one folder without a metrics file, each has what its own name states."""
    folder = tmp_path / "proj" / "both"
    names = ["dbnet-epoch=0-step=10-val_loss=0.75.ckpt", "craft-epoch=0-step=10-val_loss=0.50.ckpt"]
    for name in names:
        save(folder / name, lightning(0, 10))
    found = metrics(catalog, tmp_path / "proj")
    assert found == {f"both/{names[0]}": {"val_loss": 0.75}, f"both/{names[1]}": {"val_loss": 0.5}}


def test_several_versions_of_a_logger_beside_one_folder_of_checkpoints(tmp_path: Path, catalog: Catalog) -> None:
    """Which of them is this run's can't be told."""
    run = tmp_path / "proj" / "dbnet"
    save(run / "checkpoints" / "epoch=0-step=10.ckpt", lightning(0, 10))
    for version, loss in ((0, 0.75), (1, 0.5)):
        text(run / "csv" / f"version_{version}" / "metrics.csv", f"epoch,step,val/loss\n0,9,{loss}\n")
    assert metrics(catalog, tmp_path / "proj") == {"dbnet/checkpoints/epoch=0-step=10.ckpt": {}}


NAMES = [
    ("epoch=3-step=40-val-loss=0.10.ckpt", {"val-loss": 0.1}),
    ("epoch=3-step=40-val loss=0.10.ckpt", {"val-loss": 0.1}),
    ("épreuve 1 = a, b-epoch=3-step=40-val-loss=0.10.ckpt", {"val-loss": 0.1}),
    ("epoch=3-step=40-val-loss=-1.5e-03.ckpt", {"val-loss": -0.0015}),
    ("epoch=3-step=40-val-loss=0.10-v2.ckpt", {"val-loss": 0.1}),
    ("epoch=3-step=40-val-loss=0.00.ckpt", {}),
    ("epoch=3-step=40-val-loss=nan.ckpt", {}),
    ("epoch=3-step=40-val/loss=0.10.ckpt", {"val-loss": 0.1}),
    ("a=b/c d/epoch=3-step=40.ckpt", {}),
]


@pytest.mark.parametrize(("name", "known"), NAMES)
def test_names_with_anything_in_them(tmp_path: Path, catalog: Catalog, name: str, known: dict[str, float]) -> None:
    """The metric is called ``val-loss``, as its file says, where its rows of this step were lost."""
    run = tmp_path / "proj" / "rün = 1"
    save(run / "checkpoints" / name, lightning(3, 40))
    text(run / "metrics.csv", "epoch,step,val-loss\n0,9,0.75\n3,39,0.1")
    (row,) = scanned(catalog, tmp_path / "proj").values()
    assert (row.epoch, row.global_step, row.exp_name, row.metrics) == (3, 40, "rün = 1", known)


def test_paths_that_were_recorded_elsewhere_lead_nowhere(tmp_path: Path, catalog: Catalog) -> None:
    """A best path of another machine is matched by its name, and a file of that place isn't looked for."""
    elsewhere = tmp_path / "elsewhere" / "epoch=0-step=10.ckpt"
    save(elsewhere, lightning(7, 70))
    key = "ModelCheckpoint{'monitor': 'val/loss', 'mode': 'min'}"
    state = {"monitor": "val/loss", "best_model_path": str(elsewhere), "best_k_models": {str(elsewhere): 0.25}}
    run = tmp_path / "proj" / "dbnet"
    save(run / "checkpoints" / "epoch=0-step=10.ckpt", lightning(0, 10, callbacks={key: state}))
    text(run / "checkpoints" / "last_checkpoint", str(elsewhere))
    (row,) = scanned(catalog, tmp_path / "proj").values()
    assert (row.epoch, row.metrics, row.monitor) == (0, {"val/loss": 0.25}, "val/loss")
    assert row.path == str(run / "checkpoints" / "epoch=0-step=10.ckpt")


def test_a_checkpoint_alone(tmp_path: Path, catalog: Catalog) -> None:
    save(tmp_path / "proj" / "model.pt", {"state_dict": WEIGHTS})
    (row,) = scanned(catalog, tmp_path / "proj").values()
    assert (row.epoch, row.global_step, row.metrics, row.params, row.claims) == (None, None, {}, {}, None)
    assert row.provenance == {}
