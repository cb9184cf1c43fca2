"""Runs the tests of the reading processes where they can be forked: in a process without other threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ALONE = Path(__file__).with_name("processes_alone.py")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_reading_processes() -> None:
    arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ALONE)]
    run = subprocess.run(arguments, cwd=ALONE.parents[3], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert "skipped" not in run.stdout
