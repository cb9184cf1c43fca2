"""What a scan opens: each checkpoint once, and each metrics file once for all its checkpoints, in two processes too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.benchmarks.layouts import case, write_runs


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_nothing_is_opened_twice(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    write_runs(root, runs=3, checkpoints=700)
    assert case("opened", root) == {
        "tables": 3,
        "checkpoints": 2100,
        "processes": 2,
        "most_of_tables": 1,
        "most_of_checkpoints": 1,
    }
