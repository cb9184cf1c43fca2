"""A metrics file of 200 MB is streamed: a scan takes no more memory than its index, whatever the file's size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import catalogdb
from tests.e2e.layout_trees import lightning, save

pytest.importorskip("torch")

LINES = 1_200_000
BLOCK = 20_000
MEGABYTE = 1_000_000


def write_metrics(path: Path, lines: int) -> None:
    """About 170 bytes a line."""
    rest = ",".join(str(1 / (7 + place)) for place in range(9))
    with path.open("w", encoding="ascii") as file:
        file.write("step,epoch,train/loss,a,b,c,d,e,f,g,h,i\n")
        for start in range(0, lines, BLOCK):
            block = range(start, min(start + BLOCK, lines))
            file.write("".join([f"{step},{step // 1000},{step / 8},{rest}\n" for step in block]))


def scanned(root: Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(Path(catalogdb.__file__).parents[1])}
    command = [sys.executable, str(Path(__file__).with_name("large_metrics.py")), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def steps(tmp_path: Path) -> list[int]:
    """Of the checkpoints in ``tmp_path``: at the file's beginning, in its middle and at its end."""
    steps = [1, LINES // 2, LINES]
    for step in steps:
        save(
            tmp_path / "run" / "checkpoints" / f"epoch={(step - 1) // 1000}-{step=}.ckpt",
            lightning((step - 1) // 1000, step),
        )
    return steps


@pytest.mark.skipif(sys.platform != "linux", reason="the most memory is asked of Linux")
def test_a_metrics_file_of_200_megabytes(tmp_path: Path, steps: list[int]) -> None:
    path = tmp_path / "run" / "metrics.csv"
    write_metrics(path, 1000)
    small = scanned(tmp_path)
    write_metrics(path, LINES)
    size = path.stat().st_size
    large = scanned(tmp_path)
    path.unlink()
    assert size > 200 * MEGABYTE
    losses = {step: values["train/loss"] for step, values in large["rows"].items()}
    assert losses == {str(step): (step - 1) / 8 for step in steps}
    more = large["bytes"] - small["bytes"]
    assert more < 60 * MEGABYTE, "an index of 24 bytes a line is 29 MB, the whole file more than 200"
