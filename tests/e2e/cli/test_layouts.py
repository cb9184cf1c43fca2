"""What ``show`` says where two places differ, and which parameters come first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.cli.harness import Run
from tests.e2e.layout_trees import lightning, save, text

pytest.importorskip("torch")


@pytest.fixture
def own(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CATALOGDB_URL", "own.db")
    return run


def shown(own: Run, path: Path) -> list[list[str]]:
    """The rows of ``show`` as fields."""
    ended = own("show", str(path), "--format", "tsv")
    assert (ended.code, ended.err) == (0, "")
    return [line.split("\t") for line in ended.lines]


def test_both_sides_of_a_disagreement_are_printed(own: Run, home: Path) -> None:
    run = home / "runs" / "dbnet"
    path = run / "checkpoints" / "epoch=0-step=10-val_loss=0.44-val-acc=0.75.ckpt"
    save(path, lightning(0, 10))
    text(run / "metrics.csv", "epoch,step,val-acc,val_loss\n0,9,0.7512,0.31\n")
    assert own("scan", "runs", "-q").code == 0
    problem = "val_loss is 0.31 by ../metrics.csv, but 0.44 by the file's name; the first counts"
    rows = shown(own, path)
    assert ["metrics.val_loss", "0.31", "legacy", "../metrics.csv", "val_loss", "checkpoint"] in rows
    assert ["metrics.val-acc", "0.7512", "legacy", "../metrics.csv", "val-acc", "checkpoint"] in rows, (
        "that is rounding"
    )
    assert [row[1] for row in rows if row[0] == "problems"] == [problem]
    assert json.loads(own("show", str(path), "--format", "json").out)["problems"] == [problem]
    assert problem in own("show", str(path)).out.replace("\n", " ")


def test_two_metrics_files_that_differ_are_both_named(own: Run, home: Path) -> None:
    run = home / "runs" / "dbnet"
    path = run / "checkpoints" / "epoch=0-step=10.ckpt"
    save(path, lightning(0, 10))
    text(run / "metrics.csv", "epoch,step,val/acc,val/loss\n0,9,0.75,0.31\n")
    text(run / "csv" / "metrics.csv", "epoch,step,val/loss\n0,9,0.62\n")
    assert own("scan", "runs", "-q").code == 0
    found = json.loads(own("show", str(path), "--format", "json").out)
    assert found["metrics"] == {}, "one of them is another training's"
    assert found["problems"] == ["val/loss is 0.31 by ../metrics.csv, but 0.62 by ../csv/metrics.csv; neither counts"]


def test_what_the_user_changed_comes_first(own: Run, home: Path) -> None:
    run = home / "outputs" / "2025-10-18" / "14-32-15"
    path = run / "checkpoints" / "epoch=0-step=10.ckpt"
    save(path, lightning(0, 10))
    text(run / ".hydra" / "config.yaml", "alpha: 1\nmodel: {width: 8}\nzeta: {depth: 3, lr: 0.5}\n")
    text(run / ".hydra" / "overrides.yaml", "- zeta.lr=0.5\n- model.width=8\n")
    assert own("scan", "outputs", "-q").code == 0
    params = [row for row in shown(own, path) if row[0].startswith("params.")]
    assert [row[0] for row in params[:2]] == ["params.model.width", "params.zeta.lr"]
    assert {row[0] for row in params[2:]} == {"params.alpha", "params.zeta.depth", "params.lr"}
    assert params[1][1:4] == ["0.5", "legacy", "../.hydra/overrides.yaml"]
