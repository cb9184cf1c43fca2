"""Limits reach whatever reads a checkpoint: a scan's processes, verify, the header. A breach is the row's problem."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from catalogdb import Catalog, MetadataValidator
from catalogdb.limits import Limits
from catalogdb.settings import Settings
from tests.fuzz.seeds import STORAGES, lightning_pickle
from tests.unit.formats.support import torch_zip
from tests.unit.test_metadata import DOCUMENT

NARROW = Settings(url="sqlite://", limits=Limits(zip_entries=3))
REASON = "zip of 5 entries, more than limits_zip_entries allows (3)"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs" / "exp" / "checkpoints"
    folder.mkdir(parents=True)
    for number in range(4):
        path = folder / f"epoch={number}.ckpt"
        path.write_bytes(torch_zip(lightning_pickle(), storages=STORAGES))
        os.utime(path, (1e9, 1e9))
    return tmp_path / "outputs"


@pytest.mark.parametrize("processes", [1, 2])
def test_a_scan_s_limits_hold_in_each_of_its_processes(
    outputs: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalogdb.reading.readers.WORTH_PROCESSES", 1)
    with Catalog.open(settings=NARROW) as catalog:
        report = catalog.scan(outputs, workers=processes)
        rows = catalog.search("state IN ('ready', 'unreadable')", max_results=None)
        assert {row.state for row in rows} == {"unreadable"}
        assert all(any(REASON in problem for problem in row.problems) for row in rows)
        assert len(rows) == len(report.problems) == 4
        assert {REASON in fault.reason for fault in catalog.verify()} == {True}
        assert catalog.header(rows[0].path).reason == REASON


def test_a_raised_limit_lets_a_full_scan_read_them(outputs: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalog.db"
    with Catalog.open(url, settings=NARROW) as catalog:
        catalog.scan(outputs)
    with Catalog.open(url, settings=Settings(url=url)) as catalog:
        catalog.scan(outputs, full=True)
        assert {row.state for row in catalog.search("", max_results=None)} == {"ready"}


def test_the_environment_sets_them(outputs: Path, tmp_path: Path) -> None:
    environ = os.environ | {"CATALOGDB_LIMITS_ZIP_ENTRIES": "3", "CATALOGDB_URL": str(tmp_path / "catalog.db")}
    command = [sys.executable, "-m", "catalogdb", "scan", str(outputs), "--no-wandb", "--format", "json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert REASON in done.stdout


def test_a_sidecar_is_held_against_its_checkpoint_within_them(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = outputs / "exp" / "checkpoints" / "last.ckpt"
    path.with_name("epoch=3.ckpt").rename(path)
    other_step = {**DOCUMENT, "checkpoint_path": "checkpoints/last.ckpt", "training": {"epoch": 3, "global_step": 255}}
    path.with_suffix(".metadata.yaml").write_text(yaml.safe_dump(other_step))
    assert MetadataValidator(limits=Limits()).validate_checkpoint_file(path).error_type == "drift"
    assert MetadataValidator(limits=NARROW.limits).validate_checkpoint_file(path).is_valid
    validator = MetadataValidator()
    monkeypatch.setenv("CATALOGDB_LIMITS_ZIP_ENTRIES", "3")
    assert validator.validate_checkpoint_file(path).is_valid
    environ = os.environ | {"CATALOGDB_URL": str(outputs.parent / "catalog.db")}
    command = [sys.executable, "-m", "catalogdb", "sidecar", "validate", str(path.parent), "--format", "json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert "drift" not in done.stdout
    assert '"valid"' in done.stdout
