"""``verify`` on what checkpoints are called: the best is told by values, the last by steps, the unknown by nothing."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.records import Checkpoint
from tests.e2e.layout_trees import BUILT, WEIGHTS, lightning, lines, save, text

pytest.importorskip("torch")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.db") as opened:
        yield opened


def claims(catalog: Catalog, where: str = "") -> dict[str, str]:
    """By file name. Trees hold the same weights throughout: duplicates aren't meant here."""
    return {Path(fault.path).name: fault.reason for fault in catalog.verify(where) if fault.kind == "claim"}


@pytest.mark.parametrize("layout", sorted(BUILT))
def test_claims_that_hold_are_no_faults(layout: str, tmp_path: Path, catalog: Catalog) -> None:
    BUILT[layout](tmp_path / "proj")
    catalog.scan(tmp_path / "proj")
    assert claims(catalog) == {}


def monitored(epoch: int, step: int) -> dict[str, object]:
    key = "ModelCheckpoint{'monitor': 'val/loss', 'mode': 'min'}"
    return lightning(epoch, step, callbacks={key: {"monitor": "val/loss", "best_k_models": {}}})


def lightning_run(root: Path) -> Path:
    run = root / "version_0"
    for epoch in range(3):
        save(run / "checkpoints" / f"epoch={epoch}-step={10 * epoch + 10}.ckpt", monitored(epoch, 10 * epoch + 10))
    save(run / "checkpoints" / "best.ckpt", monitored(1, 20))
    save(run / "checkpoints" / "last.ckpt", monitored(1, 20))
    text(run / "metrics.csv", "epoch,step,val/loss\n0,9,0.75\n1,19,0.5\n2,29,0.25\n")
    return run


def test_a_best_and_a_last_that_were_overtaken(tmp_path: Path, catalog: Catalog) -> None:
    run = lightning_run(tmp_path / "proj")
    catalog.scan(tmp_path / "proj")
    found = {
        "best.ckpt": "is called best, with val/loss 0.5, but epoch=2-step=30.ckpt has 0.25",
        "last.ckpt": "is called last, of step 20, but epoch=2-step=30.ckpt is of step 30",
    }
    assert claims(catalog) == found
    assert claims(catalog, "epoch = 1") == found, "whatever the filter leaves out is beside them all the same"
    assert claims(catalog, "epoch = 2") == {}
    best = catalog.best("val/loss", mode="min")
    assert isinstance(best, Checkpoint)
    assert best.rel_path == "version_0/checkpoints/epoch=2-step=30.ckpt"
    (run / "checkpoints" / "epoch=2-step=30.ckpt").unlink()
    assert claims(catalog) == {}, "what is gone is no better"


def test_what_has_changed_since_it_was_scanned_tells_nothing(tmp_path: Path, catalog: Catalog) -> None:
    run = lightning_run(tmp_path / "proj")
    catalog.scan(tmp_path / "proj")
    os.utime(run / "checkpoints" / "last.ckpt", (1e9, 1e9))
    assert claims(catalog).keys() == {"best.ckpt"}
    os.utime(run / "checkpoints" / "epoch=2-step=30.ckpt", (1e9, 1e9))
    assert claims(catalog) == {}
    catalog.scan(tmp_path / "proj")
    assert claims(catalog).keys() == {"best.ckpt", "last.ckpt"}


def test_equal_values_are_equally_good(tmp_path: Path, catalog: Catalog) -> None:
    run = lightning_run(tmp_path / "proj")
    text(run / "metrics.csv", "epoch,step,val/loss\n0,9,0.75\n1,19,0.5\n2,29,0.49999998\n")
    catalog.scan(tmp_path / "proj")
    assert claims(catalog).keys() == {"last.ckpt"}


def test_a_value_that_isn_t_known_decides_nothing(tmp_path: Path, catalog: Catalog) -> None:
    run = lightning_run(tmp_path / "proj")
    text(run / "metrics.csv", "epoch,step,val/loss\n0,9,0.75\n2,29,0.25\n")
    catalog.scan(tmp_path / "proj")
    assert claims(catalog).keys() == {"last.ckpt"}


def test_timm_s_best_is_of_its_eval_metric(tmp_path: Path, catalog: Catalog) -> None:
    run = tmp_path / "proj" / "resnet18"
    for name, epoch in (("checkpoint-0", 0), ("checkpoint-1", 1), ("model_best", 0)):
        args = Namespace(eval_metric="top1")
        content = {"epoch": epoch, "arch": "resnet18", "state_dict": WEIGHTS, "args": args, "version": 2}
        save(run / f"{name}.pth.tar", content)
    text(run / "summary.csv", "epoch,train_loss,eval_top1\n0,1.5,40.0\n1,1.0,55.5\n")
    catalog.scan(tmp_path / "proj")
    row = catalog.get(run / "model_best.pth.tar")
    assert (row.monitor, row.monitor_mode) == ("eval_top1", "max")
    reason = "is called best, with eval_top1 40, but checkpoint-1.pth.tar has 55.5"
    assert claims(catalog) == {"model_best.pth.tar": reason}


def test_mmengine_s_best_is_of_the_metric_in_its_name(tmp_path: Path, catalog: Catalog) -> None:
    run = tmp_path / "proj" / "dbnet"
    for name, epoch in (("epoch_1", 1), ("epoch_2", 2), ("best_coco_bbox_mAP_epoch_1", 1)):
        meta = {"mmengine_version": "0.10.4", "epoch": epoch, "iter": 100 * epoch}
        save(run / f"{name}.pth", {"meta": meta, "state_dict": WEIGHTS})
    text(run / "last_checkpoint", "epoch_1.pth")
    rows = [{"loss": 1.0, "epoch": n, "iter": 100 * n, "step": 100 * n} for n in (1, 2)]
    values = [{"coco/bbox_mAP": n / 8, "step": n} for n in (1, 2)]
    lines(run / "20251018_143215" / "vis_data" / "scalars.json", rows[0], values[0], rows[1], values[1])
    catalog.scan(tmp_path / "proj")
    assert catalog.get(run / "best_coco_bbox_mAP_epoch_1.pth").monitor == "coco/bbox_mAP"
    assert claims(catalog) == {
        "best_coco_bbox_mAP_epoch_1.pth": "is called best, with coco/bbox_mAP 0.125, but epoch_2.pth has 0.25",
        "epoch_1.pth": "is called last, of step 100, but epoch_2.pth is of step 200",
    }


def test_fairseq_s_best_is_of_its_best_checkpoint_metric(tmp_path: Path, catalog: Catalog) -> None:
    run = tmp_path / "proj" / "wmt"
    for name, epoch in (("checkpoint1", 1), ("checkpoint2", 2), ("checkpoint_best", 1)):
        args = Namespace(best_checkpoint_metric="bleu", maximize_best_checkpoint_metric=True)
        extra = {"val_loss": 20.0 + epoch, "train_iterator": {"epoch": epoch}}
        history = [{"num_updates": 100 * epoch}]
        save(run / f"{name}.pt", {"model": WEIGHTS, "args": args, "extra_state": extra, "optimizer_history": history})
    catalog.scan(tmp_path / "proj")
    row = catalog.get(run / "checkpoint1.pt")
    assert (row.monitor, row.monitor_mode) == ("bleu", "max")
    assert claims(catalog) == {"checkpoint_best.pt": "is called best, with bleu 21, but checkpoint2.pt has 22"}
