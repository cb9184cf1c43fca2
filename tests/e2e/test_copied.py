"""A folder of checkpoints and sidecars, copied: what the sidecars say is true of both, where the files are equal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from catalogdb import Catalog, CheckpointMetadataV1, save_metadata
from catalogdb.records import Checkpoint
from catalogdb.settings import Settings

PARTS = {"encoder": {"model_name": "resnet18"}, "decoder": {"name": "unet"}, "head": {"name": "db"}}


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    url = f"sqlite:///{tmp_path}/catalog.db"
    with Catalog.open(url, settings=Settings(url=url)) as opened:
        yield opened


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One checkpoint of torch's and one of safetensors, which keeps no checksums, with sidecars that name them."""
    (tmp_path / "work" / "outputs" / "run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    torch.save({"epoch": 3, "model": {"w": torch.ones(3, 3)}}, "outputs/run/a.pt")
    save_file({"w": torch.ones(3, 3)}, "outputs/run/b.safetensors")
    for name in ("a.pt", "b.safetensors"):
        sidecar = {
            "checkpoint_path": f"outputs/run/{name}",
            "exp_name": "run",
            "created_at": "2025-10-18T14:32:15",
            "training": {"epoch": 3, "global_step": 40},
            "model": {"architecture": "dbnet", "loss": {"name": "bce"}, **PARTS},
            "metrics": {"hmean": 0.75},
            "checkpointing": {"monitor": "val/hmean", "mode": "max"},
        }
        save_metadata(CheckpointMetadataV1.model_validate(sidecar), f"outputs/run/{name}")
    return tmp_path / "work"


def hmeans(catalog: Catalog, root: str) -> dict[str, float | None]:
    rows: list[Checkpoint] = catalog.search("state = 'ready'", max_results=None)
    return {Path(row.path).name: row.hmean for row in rows if f"/{root}/" in row.path}


def test_of_equal_files_the_sidecar_is_about_both(run: Path, catalog: Catalog) -> None:
    shutil.copytree(run / "outputs", run / "backup")
    report = catalog.scan(run)
    assert hmeans(catalog, "outputs") == {"a.pt": 0.75, "b.safetensors": 0.75}
    assert hmeans(catalog, "backup") == {"a.pt": 0.75, "b.safetensors": None}
    (problem,) = report.problems
    assert "drift: is the sidecar of outputs/run/b.safetensors, which is another file" in problem.reason


def test_of_files_that_differ_it_is_about_the_one_that_it_names(run: Path, catalog: Catalog) -> None:
    shutil.copytree(run / "outputs", run / "backup")
    torch.save({"epoch": 3, "model": {"w": torch.zeros(3, 3)}}, run / "backup" / "run" / "a.pt")
    assert (run / "backup" / "run" / "a.pt").stat().st_size == (run / "outputs" / "run" / "a.pt").stat().st_size
    catalog.scan(run)
    assert hmeans(catalog, "backup") == {"a.pt": None, "b.safetensors": None}


def test_once_the_other_file_is_gone_the_row_is_as_in_a_new_catalog(run: Path, catalog: Catalog) -> None:
    shutil.copytree(run / "outputs", run / "backup")
    catalog.scan(run)
    shutil.rmtree(run / "outputs")
    report = catalog.scan(run)
    assert report.problems == ()
    assert hmeans(catalog, "backup") == {"a.pt": 0.75, "b.safetensors": 0.75}
    assert catalog.scan(run).unchanged == 2
