"""Values that are only known of a run, as a W&B summary's are: they rank and are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import wandb_log
from tests.e2e.cli.harness import Run


@pytest.fixture
def summaries(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs of two checkpoints each, whose summaries alone have a ``val/acc``."""
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("CATALOGDB_URL", str(home / "catalog.db"))
    for place, run_id in enumerate(("aaa00001", "bbb00002"), 1):
        folder = home / "outputs" / f"exp-{place}"
        config = {"lr": place / 10, "seed": place, "width": 16}
        told = [wandb_log.run(run_id, config=config), wandb_log.summary({"val/acc": 0.7 + place / 10})]
        wandb_log.write_run(folder, run_id, [*told, wandb_log.ended()])
        for epoch in range(2):
            saved = {"epoch": epoch, "global_step": 5 * epoch, "hyper_parameters": config}
            torch.save({**saved, "state_dict": {"weight": torch.zeros(2)}}, folder / f"ep{epoch}.pt")
    assert run("scan", "outputs").code == 0
    return home / "outputs"


def test_best_says_that_its_value_is_of_the_run(summaries: Path, run: Run) -> None:
    ended = run("best", "-m", "val/acc")
    path = str(summaries / "exp-2" / "ep1.pt")
    assert (ended.code, ended.lines) == (0, [path])
    assert ended.err == f"{path}: its val/acc is known of its run as a whole, not of this file\n"
    assert run("best", "-m", "val/acc", "-q").err == ""


def test_best_counts_the_values_that_are_of_runs(summaries: Path, run: Run) -> None:
    ended = run("best", "-m", "val/acc", "-n", "3")
    assert ended.err == "3 of 3 have values that are known of their runs as a whole, not of the file\n"
    ended = run("best", "-m", "val/acc", "--per", "exp_name")
    assert ended.err == "2 of 2 have values that are known of their runs as a whole, not of the file\n"


def test_plot_says_that_a_metric_is_known_of_runs_alone(summaries: Path, run: Run) -> None:
    ended = run("plot", "-m", "val/acc")
    assert ended.code == 1
    assert ended.err.splitlines() == [
        "4 checkpoints aren't drawn: val/acc is known of their run as a whole, not of a step of it",
        "catalogdb: nothing to draw",
    ]
