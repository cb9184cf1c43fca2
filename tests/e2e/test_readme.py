"""The README can't lie: its console blocks are run, and print what it says; so are the pages' Python blocks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = re.compile(r"\d+\.\d{3}s")


def commands(text: str) -> list[tuple[str, str]]:
    """Commands with the output that follows them."""
    found: list[tuple[str, str]] = []
    for block in BLOCK.findall(text):
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:].rstrip("\n"), ""))
            else:
                command, output = found[-1]
                found[-1] = (command, output + line)
    return found


def environment(home: Path) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "CATALOGDB_URL": "catalog.db",
        "COLUMNS": "120",
    }


def comparable(output: str, cwd: Path) -> list[list[str]]:
    """Words by line, without what differs from one machine and moment to the next: durations and the folder."""
    return [line.split() for line in SECONDS.sub("0.000s", output.replace(f"{cwd}/", "/data/")).splitlines()]


def test_console_blocks(tmp_path: Path) -> None:
    found = commands((CHECKOUT / "README.md").read_text(encoding="utf-8"))
    assert len(found) >= 5
    for command, expected in found:
        run = subprocess.run(
            ["/bin/sh", "-c", f"{command} 2>&1"],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert comparable(run.stdout, tmp_path) == comparable(expected, tmp_path), f"$ {command}"


@pytest.mark.parametrize("page", ["README.md", "docs/facts.md", "docs/output.md", "docs/sidecars.md"])
def test_python_blocks(tmp_path: Path, page: str) -> None:
    run = [sys.executable, "-m", "catalogdb", "--db", "catalog.db", "demo", "."]
    subprocess.run(run, cwd=tmp_path, env=environment(tmp_path), check=True, capture_output=True)
    blocks = PYTHON_BLOCK.findall((CHECKOUT / page).read_text(encoding="utf-8"))
    assert blocks
    for block in blocks:
        subprocess.run(
            [sys.executable, "-W", "error", "-c", block], cwd=tmp_path, env=environment(tmp_path), check=True
        )
