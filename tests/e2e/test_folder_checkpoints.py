"""Folders that are one checkpoint, from the disk to the row: one row each, whatever happens to their files."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.records import Checkpoint
from tests.unit.formats.test_folders import MODEL, deepspeed, megatron, sharded, trainer_folder

torch = pytest.importorskip("torch")

OPTIMIZER = "zero_pp_rank_{}_mp_rank_00_optim_states.pt"


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with Catalog.open("sqlite://") as opened:
        yield opened


def rows(catalog: Catalog, where: str = "") -> dict[str, Checkpoint]:
    return {row.rel_path: row for row in catalog.search(where)}


def make_old(folder: Path) -> None:
    """As if nobody had written into it for an hour."""
    an_hour_ago = time.time() - 3600
    for path in folder.rglob("*"):
        os.utime(path, (an_hour_ago, an_hour_ago))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_trainer_s_checkpoint_is_one_row(tmp_path: Path, catalog: Catalog) -> None:
    folder = trainer_folder(tmp_path)
    report = catalog.scan(tmp_path)
    assert (report.total, report.new, report.foreign, report.problems) == (1, 1, 0, ())
    (row,) = catalog.search()
    assert (row.path, row.rel_path, row.format, row.state) == (str(folder), "checkpoint-500", "sharded", "ready")
    assert (row.epoch, row.stated_epoch, row.global_step, row.metrics) == (
        1,
        2.0,
        500,
        {"eval_loss": 0.5, "eval_f1": 0.7},
    )
    assert row.size_bytes == size_of(folder)
    assert row.weights is not None
    assert row.weights.num_tensors == 2
    assert catalog.get(folder).id == row.id
    assert catalog.scan(tmp_path).unchanged == 1


def test_a_file_beside_a_trainer_s_folder_counts_epochs_as_it_does(tmp_path: Path, catalog: Catalog) -> None:
    trainer_folder(tmp_path)
    torch.save({"epoch": 4, "global_step": 40, "state_dict": {"w": torch.ones(2)}}, tmp_path / "own.ckpt")
    catalog.scan(tmp_path)
    row = catalog.get(tmp_path / "own.ckpt")
    assert (row.epoch, row.stated_epoch, row.global_step) == (4, None, 40)


def test_it_is_read_again_when_any_of_its_files_changes(tmp_path: Path, catalog: Catalog) -> None:
    folder = trainer_folder(tmp_path)
    make_old(folder)
    catalog.scan(tmp_path)
    state = json.loads((folder / "trainer_state.json").read_text())
    state["global_step"] = 501
    (folder / "trainer_state.json").write_text(json.dumps(state))
    make_old(folder)
    report = catalog.scan(tmp_path)
    assert (report.updated, report.unchanged) == (1, 0)
    assert catalog.get(folder).global_step == 501


def test_it_is_known_again_after_a_move(tmp_path: Path, catalog: Catalog) -> None:
    folder = trainer_folder(tmp_path, best_model_checkpoint=None)
    catalog.scan(tmp_path)
    before = catalog.get(folder)
    (tmp_path / "archive").mkdir()
    moved = folder.rename(tmp_path / "archive" / "best")
    report = catalog.scan(tmp_path)
    assert (report.moved, report.missing, report.new) == (1, 0, 0)
    after = catalog.get(moved)
    assert (after.id, after.global_step, after.state) == (before.id, 500, "ready")


def test_a_rank_that_is_missing(tmp_path: Path, catalog: Catalog) -> None:
    folder = deepspeed(tmp_path / "global_step9", MODEL, OPTIMIZER.format(0))
    catalog.scan(tmp_path)
    assert catalog.get(folder).state == "writing"
    make_old(folder)
    catalog.scan(tmp_path)
    row = catalog.get(folder)
    assert (row.state, row.problems) == ("truncated", ("optimizer states of data-parallel rank 1 of 2 is missing",))
    deepspeed(folder, OPTIMIZER.format(1))
    catalog.scan(tmp_path)
    row = catalog.get(folder)
    assert (row.state, row.format, row.global_step, row.problems) == ("ready", "deepspeed", 9, ())


def test_a_folder_that_is_emptied_is_missing(tmp_path: Path, catalog: Catalog) -> None:
    folder = trainer_folder(tmp_path)
    catalog.scan(tmp_path)
    for path in folder.iterdir():
        path.unlink()
    assert catalog.scan(tmp_path).missing == 1
    assert catalog.get(folder).state == "missing"


def test_a_root_that_is_a_checkpoint_and_later_lies_in_another_root(tmp_path: Path, catalog: Catalog) -> None:
    folder = trainer_folder(tmp_path)
    catalog.scan(folder)
    row = catalog.get(folder)
    assert (row.path, row.root, row.rel_path, row.global_step) == (str(folder), str(folder), ".", 500)
    assert catalog.scan(folder).unchanged == 1
    quoted = f"'{folder}'"
    for where in (f"path = {quoted}", f"path IN ({quoted})", "path LIKE '%/checkpoint-500'", f"path >= {quoted}"):
        assert [found.id for found in catalog.search(where)] == [row.id], where
    columns = catalog.search(columns=["path", "run"])
    assert (
        [dict(found) for found in columns]
        == [{"path": str(folder), "run": str(tmp_path)}]
        == [{"path": row.path, "run": row.run}]
    )
    assert [curve.best.path for curve in catalog.curves("eval_f1").curves] == [str(folder)]
    for view in ("checkpoint_overview", "checkpoint_metrics", "checkpoint_params"):
        assert {tuple(found) for found in catalog.sql(f"SELECT path FROM {view}").rows} == {(str(folder),)}, view
    assert catalog.scan(tmp_path).unchanged == 1
    again = catalog.get(folder)
    assert (again.id, again.root, again.rel_path) == (row.id, str(tmp_path), "checkpoint-500")
    assert catalog.scan(folder).unchanged == 1, "a part of a known root"


def test_a_marker_says_that_the_write_was_not_finished(tmp_path: Path, catalog: Catalog) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "a=0.1-epoch=3.ckpt"
    marker = tmp_path / "a=0.1-epoch=3-unfinished"
    torch.save({"epoch": 3, "state_dict": {"w": torch.ones(2)}}, path)
    marker.touch()
    catalog.scan(tmp_path)
    assert catalog.get(path).state == "writing"
    make_old(tmp_path)
    catalog.scan(tmp_path)
    row = catalog.get(path)
    assert (row.state, row.epoch) == ("truncated", 3)
    assert row.problems == ("its write wasn't finished: a=0.1-epoch=3-unfinished is there",)
    marker.unlink()
    catalog.scan(tmp_path)
    assert (catalog.get(path).state, catalog.get(path).problems) == ("ready", ())


def test_every_kind_in_one_tree_as_their_writers_make_them(tmp_path: Path, catalog: Catalog) -> None:
    torch = pytest.importorskip("torch")
    distributed = pytest.importorskip("torch.distributed.checkpoint")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = {"model": {"w": torch.ones(3, 4)}, "global_step": 70}
        distributed.save(state, checkpoint_id=tmp_path / "run" / "step-70", no_dist=True)
    trainer_folder(tmp_path / "run")
    deepspeed(tmp_path / "run" / "epoch=1.ckpt" / "checkpoint", MODEL)
    (tmp_path / "run" / "epoch=1.ckpt" / "latest").write_text("checkpoint")
    (tmp_path / "model").mkdir()
    sharded(tmp_path / "model", "pytorch_model.bin")
    torch.save({"epoch": 2}, tmp_path / "run" / "epoch=2.ckpt")
    (tmp_path / "run" / "last").symlink_to("checkpoint-500")
    report = catalog.scan(tmp_path)
    assert (report.total, report.problems) == (6, ())
    found = rows(catalog)
    assert {path: (row.format, row.state) for path, row in found.items()} == {
        "model": ("sharded", "ready"),
        "run/checkpoint-500": ("sharded", "ready"),
        "run/epoch=1.ckpt": ("deepspeed", "ready"),
        "run/epoch=2.ckpt": ("torch_zip", "ready"),
        "run/last": ("sharded", "ready"),
        "run/step-70": ("torch_dcp", "ready"),
    }
    assert found["run/last"].link_target == str(tmp_path / "run" / "checkpoint-500")
    assert catalog.scan(tmp_path).unchanged == 6


def test_megatron_s_ranks_and_nemo_s_folders_are_parts(tmp_path: Path, catalog: Catalog) -> None:
    torch = pytest.importorskip("torch")
    distributed = pytest.importorskip("torch.distributed.checkpoint")
    iteration = megatron(tmp_path / "gpt" / "iter_0000500", "mp_rank_00", "mp_rank_01", tensor_model_parallel_size=2)
    nemo = tmp_path / "llama" / "llama--val_loss=2.25-step=9"
    (nemo / "context").mkdir(parents=True)
    (nemo / "context" / "model.ckpt").write_bytes(b"no row")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        distributed.save({"module": {"w": torch.ones(3)}}, checkpoint_id=nemo / "weights", no_dist=True)
    torch.save({"pytorch-lightning_version": "2.4.0", "epoch": 0, "global_step": 9}, nemo / "weights" / "common.pt")
    marker = nemo.with_name(f"{nemo.name}-unfinished")
    marker.touch()
    make_old(tmp_path)
    catalog.scan(tmp_path)
    found = rows(catalog)
    assert {path: (row.format, row.state, row.global_step) for path, row in found.items()} == {
        "gpt/iter_0000500": ("megatron", "ready", 500),
        "llama/llama--val_loss=2.25-step=9": ("torch_dcp", "truncated", 9),
    }
    marker.unlink()
    last = iteration / "mp_rank_01" / "model_optim_rng.pt"
    last.unlink()
    catalog.ingest(marker, last)
    assert {path: row.state for path, row in rows(catalog).items()} == {
        "gpt/iter_0000500": "truncated",
        "llama/llama--val_loss=2.25-step=9": "ready",
    }
