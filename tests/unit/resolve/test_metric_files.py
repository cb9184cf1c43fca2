"""Metrics files as the checkpoints of many runs share them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from catalogdb.metric_files.table import Asked
from catalogdb.records import Candidate, Source, Stamp
from catalogdb.resolve.beside import MetricFiles
from tests.unit.resolve.support import DOCUMENT, candidate, header, inferred, keeper, metrics


def source(path: Path) -> Source:
    status = path.stat()
    return Source("metrics", str(path), Stamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev))


OWN = keeper({"epoch=1-step=20.ckpt": 0.0476}, current=0.0476)


def beside(tmp_path: Path, text: str) -> Candidate:
    path = tmp_path / "run" / "metrics.csv"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return replace(candidate(tmp_path), sources=(source(path),))


def test_a_row_that_the_file_s_own_score_refutes_is_another_file_s(tmp_path: Path) -> None:
    """Trained twice into one folder: Lightning keeps the first training's checkpoints, and writes metrics.csv anew."""
    found = inferred(beside(tmp_path, "epoch,step,val/loss,val/acc\n1,19,0.19,0.6\n"), header(OWN))
    assert metrics(found) == {"val/loss": 0.0476}
    (problem,) = found.problems
    assert (
        problem.reason
        == "val/loss is 0.0476 by the file, but 0.19 by ../metrics.csv, whose row is another checkpoint's"
    )


def test_a_row_that_the_file_s_own_record_refutes_is_another_file_s(tmp_path: Path) -> None:
    there = beside(tmp_path, "epoch,step,val/iou,val/acc\n1,19,0.5,0.6\n")
    assert metrics(inferred(there, header(embedded=DOCUMENT))) == {}


def test_a_row_that_has_the_file_s_own_score_rounded_is_its_own(tmp_path: Path) -> None:
    found = inferred(beside(tmp_path, "epoch,step,val/loss,val/acc\n1,19,0.048,0.6\n"), header(OWN))
    assert metrics(found) == {"val/loss": 0.048, "val/acc": 0.6}
    assert found.problems == ()


def test_an_average_has_no_metrics_of_one_of_those_that_it_was_made_of(tmp_path: Path) -> None:
    there = replace(
        candidate(tmp_path, "run/checkpoints/checkpoint_avg5.ckpt"),
        sources=beside(tmp_path, "epoch,step,val/acc\n1,19,0.6\n").sources,
    )
    assert metrics(inferred(there, header(OWN, metrics={"val/iou": 0.5}))) == {}


@pytest.mark.parametrize(
    ("name", "more", "found"),
    [
        ("epoch=1-step=20-val_loss=0.12.ckpt", {}, {"val_loss": 0.12}),
        ("epoch=2-step=30-val_loss=0.12.ckpt", {}, {}),
        ("epoch=0-val_loss=0.12.ckpt", {"framework_version": "2.4.0"}, {}),
        ("epoch=0-step=19-val_loss=0.12.ckpt", {"framework_version": "1.5.10"}, {"val_loss": 0.12}),
        ("epoch=0-step=19-val_loss=0.12.ckpt", {"framework_version": "1.6.0"}, {}),
    ],
)
def test_a_name_with_another_step_than_the_file_s_was_given_to_another_file(
    tmp_path: Path, name: str, more: dict[str, str], found: dict[str, float]
) -> None:
    there = candidate(tmp_path, f"run/checkpoints/{name}")
    assert metrics(inferred(there, header(**more))) == found


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
