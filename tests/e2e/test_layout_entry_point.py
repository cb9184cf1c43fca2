"""A layout of another distribution, installed as installers leave it: its files, METADATA and entry_points.txt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import catalogdb
from tests.e2e.layout_trees import WEIGHTS, save, text

pytest.importorskip("torch")

MODULE = '''
from catalogdb.layouts import Dependency, Guide, Monitor, Position
from catalogdb.layouts.base import Habits


class Ours(Habits):
    """Steps in hundreds, in names such as ``state-003.pt``; ``metrics.json`` is in the folder above."""

    name = "ours"
    guide = Guide("Ours", "`state-003.pt`", "`metrics.json`", "none")
    marks = frozenset({"ours.txt"})
    tells = marks

    def depends(self, folder):
        if "ours.txt" in folder.files:
            yield Dependency("state", folder, "ours.txt")
            yield Dependency("metrics", folder, "metrics.json")

    def position(self, seen):
        step = 100 * int(seen.name.removesuffix(".pt").rpartition("-")[2])
        return Position(None, step, row=step)

    def claims(self, seen):
        return frozenset({"best"} if seen.texts.get("ours.txt", "").strip() == seen.own_name else ())

    def monitor(self, seen):
        return Monitor("score", "max", "ours.txt")
'''

SCAN = """
import json, logging, sys
from catalogdb import Catalog

logging.basicConfig(format="%(levelname)s %(message)s")
with Catalog.open("sqlite://") as catalog:
    catalog.scan(sys.argv[1])
    rows = [row.to_dict() for row in catalog.search("", max_results=None)]
    claims = [fault.reason for fault in catalog.verify() if fault.kind == "claim"]
    json.dump({"rows": rows, "claims": claims}, sys.stdout)
"""


def install(site: Path, entry_points: str, module: str = MODULE) -> None:
    """As a wheel's installation leaves it (packaging.python.org, Recording installed projects)."""
    text(site / "ours_layouts.py", module)
    info = site / "ours_layouts-1.0.dist-info"
    text(info / "METADATA", "Metadata-Version: 2.1\nName: ours-layouts\nVersion: 1.0\n")
    text(info / "entry_points.txt", entry_points)
    text(info / "RECORD", "ours_layouts.py,,\nours_layouts-1.0.dist-info/METADATA,,\n")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    for number in (1, 2, 3):
        save(root / "a" / f"state-{number:03}.pt", {"state_dict": WEIGHTS, "w": number})
    text(root / "a" / "ours.txt", "state-002.pt\n")
    scores = [{"iteration": 100 * number, "score": number / 8} for number in (1, 2, 3)]
    text(root / "a" / "metrics.json", "".join(f"{json.dumps(row)}\n" for row in scores))
    return root


def scanned(tree: Path, site: Path) -> tuple[dict[str, Any], str]:
    package = Path(catalogdb.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(package)])}
    command = [sys.executable, "-c", SCAN, str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found, done.stderr


def test_a_layout_that_is_installed_is_asked(tree: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, "[catalogdb.layouts]\nours = ours_layouts:Ours\n")
    found, logged = scanned(tree, site)
    assert logged == ""
    rows = {Path(row["path"]).name: row for row in found["rows"]}
    assert {name: (row["global_step"], row["metrics"], row["claims"]) for name, row in rows.items()} == {
        "state-001.pt": (100, {"score": 0.125}, None),
        "state-002.pt": (200, {"score": 0.25}, "best"),
        "state-003.pt": (300, {"score": 0.375}, None),
    }
    assert rows["state-001.pt"]["monitor"] == "score"
    assert found["claims"] == ["is called best, with score 0.25, but state-003.pt has 0.375"]


def test_without_it_nothing_is_known(tree: Path, tmp_path: Path) -> None:
    found, _ = scanned(tree, tmp_path / "site")
    assert [(row["global_step"], row["metrics"]) for row in found["rows"]] == [(None, {})] * 3


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("ours_layouts:Theirs", "no attribute 'Theirs'"),
        ("gone:Ours", "No module named 'gone'"),
        ("json:JSONDecoder", "it is no layout"),
    ],
)
def test_one_that_can_t_be_used_is_left_out_and_said(tree: Path, tmp_path: Path, target: str, why: str) -> None:
    site = tmp_path / "site"
    install(site, f"[catalogdb.layouts]\nbroken = {target}\nours = ours_layouts:Ours\n")
    found, logged = scanned(tree, site)
    assert sorted(row["global_step"] for row in found["rows"]) == [100, 200, 300]
    (line,) = logged.splitlines()
    assert line.startswith(f"WARNING the layout broken ({target}) can't be used: ")
    assert why in line


@pytest.mark.parametrize("method", ["depends", "position", "claims", "monitor"])
def test_what_it_raises_is_said_once_and_ends_no_scan(tree: Path, tmp_path: Path, method: str) -> None:
    site = tmp_path / "site"
    begun = MODULE.index(f"    def {method}(")
    body = MODULE.index("\n", begun) + 1
    install(site, "[catalogdb.layouts]\nours = ours_layouts:Ours\n", f"{MODULE[:body]}        1 / 0\n{MODULE[body:]}")
    found, logged = scanned(tree, site)
    assert logged == f"WARNING the layout ours failed in {method}: ZeroDivisionError: division by zero\n"
    steps = [row["global_step"] for row in found["rows"]]
    assert sorted(steps, key=str) == ([None] * 3 if method in ("depends", "position") else [100, 200, 300])
