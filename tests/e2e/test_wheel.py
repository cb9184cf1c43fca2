"""The built wheel, alone: it makes its database and answers from any working directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's content and nothing else."""
    dist, target = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(CHECKOUT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    return target


def run(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(cwd),
        "PYTHONPATH": str(installed),
        "XDG_DATA_HOME": str(cwd / "data"),
        "XDG_CONFIG_HOME": str(cwd / "config"),
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )


def test_the_wheel_scans_and_answers(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "-c", "import catalogdb; print(catalogdb.__file__)").stdout
    assert where.startswith(str(installed))
    laid_out = "from pathlib import Path; from catalogdb.demo import lay_out; lay_out(Path('here'))"
    run(installed, tmp_path, "-c", laid_out)
    scan = run(installed, tmp_path, "-m", "catalogdb", "scan", "here")
    assert scan.stdout.startswith("Catalog built: ")
    best = run(installed, tmp_path, "-m", "catalogdb", "best", "-m", "val/hmean").stdout.strip()
    assert Path(best).is_file()
    assert (tmp_path / "data" / "catalogdb" / "catalog.db").is_file()
