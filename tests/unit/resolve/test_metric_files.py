"""Metrics files as the checkpoints of many runs share them."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalogdb.metric_files.table import Asked
from catalogdb.records import Source, Stamp
from catalogdb.resolve.beside import MetricFiles


def source(path: Path) -> Source:
    status = path.stat()
    return Source("metrics", str(path), Stamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev))


def test_what_is_kept_of_them_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalogdb.resolve.beside.MAX_KEPT", 100)
    paths = [tmp_path / f"{number}" / "metrics.csv" for number in range(5)]
    files = MetricFiles()
    for number, path in enumerate(paths):
        path.parent.mkdir()
        path.write_text(f"epoch,step,val/loss\n0,9,0.{number}1\n")
        files.look(source(path), Asked("x.ckpt", 9, 0))
    sources = [source(path) for path in paths]
    for path in paths:
        path.write_text("gone")
    found = [files.look(each, Asked("x.ckpt", 9, 0)).row for each in sources]
    assert found == [{}, {}, {"val/loss": 0.21}, {"val/loss": 0.31}, {"val/loss": 0.41}], (
        "33 bytes each, the last three"
    )
