"""The demo's outputs and their catalog, and ways to run the program on them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import catalogdb
from catalogdb.cli.main import main
from catalogdb.demo import lay_out
from tests.e2e.cli.harness import PROGRAM, Demo, Ended, Run, Shell


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo's outputs, scanned once; tests that change them work on a copy."""
    folder = tmp_path_factory.mktemp("demo")
    outputs = lay_out(folder)
    assert main(["scan", str(outputs), "--db", str(folder / "catalog.db"), "-q", "--offline"]) == 0
    return Demo(outputs, folder / "catalog.db")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own: no one's settings count."""
    for variable in [name for name in os.environ if name.startswith(("CATALOGDB_", "WANDB_", "XDG_"))]:
        monkeypatch.delenv(variable)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    monkeypatch.setenv("PYTHONPATH", str(Path(catalogdb.__file__).parents[1]))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    def run(*arguments: str) -> Ended:
        capfdbinary.readouterr()
        code = main(arguments)
        out, err = capfdbinary.readouterr()
        return Ended(code, out.decode(errors="surrogateescape"), err.decode())

    return run


@pytest.fixture
def ask(run: Run, demo: Demo) -> Run:
    """Runs a command on the demo's catalog."""
    return lambda *arguments: run(*arguments, "--db", str(demo.database))


@pytest.fixture
def shell(demo: Demo) -> Shell:
    def run(script: str) -> subprocess.CompletedProcess[bytes]:
        program = f"{PROGRAM[0]} -c '{PROGRAM[2]}' --db {demo.database}"
        return subprocess.run(
            ["bash", "-c", script.replace("catalogdb ", f"{program} ")], capture_output=True, check=False, timeout=60
        )

    return run
