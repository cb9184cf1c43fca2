"""Roots and folders that can't be reached: the rest is done, their rows are stale, and what is known isn't lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import catalogdb
from catalogdb.store import Pulse
from tests.e2e.cli.harness import SUMMARY, Demo, Run, assert_one_line

FORGET = "; its rows are stale until it can be scanned, and catalogdb forget {0} drops them"


@pytest.fixture
def roots(home: Path, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two roots, ``a`` and ``b``, of two of the demo's runs."""
    monkeypatch.setenv("CATALOGDB_URL", str(home / "catalog.db"))
    runs = sorted(path.parent for path in demo.outputs.rglob("checkpoints"))
    for name, source in zip("ab", runs, strict=False):
        shutil.copytree(source, home / name / source.name)
    return home


def rows(run: Run, where: str = "state IS NOT NULL") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("ls", where, "--format", "json").out)
    return found


def test_a_root_that_is_not_there_does_not_stop_the_others(roots: Path, run: Run) -> None:
    (roots / "catalogdb.toml").write_text('roots = ["a", "nowhere", "b", "gone"]', encoding="utf-8")
    ended = run("scan", "-q")
    assert (ended.code, len(ended.lines)) == (3, 1)
    assert SUMMARY.fullmatch(ended.lines[0])
    assert ended.err.splitlines() == [
        f"catalogdb: error: {roots / name}: no such folder" for name in ("nowhere", "gone")
    ]
    assert {row["root"] for row in rows(run)} == {str(roots / "a"), str(roots / "b")}
    assert json.loads(run("scan", "b", "nowhere", "--format", "json").out)["roots"] == [str(roots / "b")]


def test_where_no_root_is_there_no_catalog_is_made(roots: Path, run: Run) -> None:
    ended = run("scan", "nowhere", "gone")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (3, "", 2)
    assert not (roots / "catalog.db").exists()
    assert_one_line(run("scan"), 2, "which folder?")
    assert not (roots / "catalog.db").exists()


def test_scan_without_a_root_takes_all_that_the_catalog_knows(roots: Path, run: Run) -> None:
    assert run("scan", "a", "b").code == 0
    (new := roots / "a" / "new").mkdir()
    shutil.copy(next((roots / "b").rglob("*.ckpt")), new)
    ended = run("scan")
    assert ended.code == 0
    assert "1 new" in ended.err


def test_the_rows_of_a_root_that_is_gone_are_stale_until_it_is_back(roots: Path, run: Run) -> None:
    assert run("scan", "a", "b").code == 0
    before = rows(run)
    (roots / "b").rename(roots / "away")
    for arguments in ([], ["b"], ["a", "b"]):
        ended = run("scan", *arguments)
        assert ended.code == 3
        last = ended.err.splitlines()[-1]
        assert last == f"catalogdb: error: {roots}/b: no such folder{FORGET.format(roots / 'b')}"
    found = rows(run)
    assert {(row["root"], row["stale"]) for row in found} == {(str(roots / "a"), False), (str(roots / "b"), True)}
    assert {row["state"] for row in found} == {"ready"}
    assert [{**row, "stale": False} for row in found] == before
    (roots / "away").rename(roots / "b")
    ended = run("scan", "b")
    assert ended.code == 0
    assert " unchanged\n" in ended.err
    assert "updated" not in ended.err
    assert rows(run) == before


def test_status_counts_stale_rows_and_shows_what_watchers_say(roots: Path, run: Run) -> None:
    assert run("scan", "a", "b").code == 0
    assert " stale\n" not in run("status").out
    (roots / "b").rename(roots / "away")
    assert run("scan", "b").code == 3
    stale = sum(row["stale"] for row in rows(run))
    assert stale > 0
    assert f"ready; {stale} stale\n" in run("status").out
    assert json.loads(run("status", "--format", "json").out)["stale"] == stale
    with catalogdb.Catalog.open() as catalog:
        lease = catalog.lease([str(roots / "b")])
        lease.acquire()
        lease.beat(Pulse("watching", problems=(f"{roots}/b: isn't there",)))
        assert f": {roots}/b: isn't there\n" in run("status").out
        lease.release()


def test_a_folder_above_roots_that_is_gone(roots: Path, run: Run) -> None:
    (roots / "disk").mkdir()
    (roots / "a").rename(roots / "disk" / "a")
    assert run("scan", "disk/a").code == 0
    (roots / "disk").rename(roots / "away")
    assert_one_line(run("scan", "disk"), 3, "its rows are stale")
    assert all(row["stale"] for row in rows(run))


def test_best_says_one_line_for_a_root_that_is_gone(roots: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalogdb.cli.best.MOST_GONE", 0)
    assert run("scan", "a", "b").code == 0
    first = run("best", "-m", "val/hmean").lines[0]
    root = roots / Path(first).relative_to(roots).parts[0]
    other = roots / ("a" if root.name == "b" else "b")
    best_there = run("best", "-m", "val/hmean", "-w", f"root = '{other}'").lines
    root.rename(roots / "away")
    ended = run("best", "-m", "val/hmean")
    assert (ended.code, ended.lines) == (0, best_there)
    line = f"{root}: is no longer there; its checkpoints are passed over (catalogdb forget {root} drops them)"
    assert [each for each in ended.err.splitlines() if str(root) in each] == [line]
    ended = run("best", "-m", "val/hmean", "--per", "root")
    assert ended.lines == best_there
    other.rename(roots / "away too")
    ended = run("best", "-m", "val/hmean")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (1, "", 3)
    assert ended.err.endswith("nothing matched\n")


AS_NOBODY = """
import contextlib, io, os, sys, tempfile
from catalogdb.cli.main import main
if os.geteuid() == 0:  # what is imported late may lie where nobody else can read it
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.redirect_stderr(nowhere):
            for command in (["scan", "outputs"], ["best", "-m", "val/hmean"], ["ls", "--format", "json"]):
                assert main([*command, "--db", folder + "/warm.db"]) == 0
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main(sys.argv[1:]))
"""


def as_nobody(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Root may read everything."""
    command = [sys.executable, "-c", AS_NOBODY, *arguments, "--db", str(folder / "catalog.db")]
    environ = {
        **os.environ,
        "HOME": str(folder),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("mode", [0o000, 0o444], ids=["not listed", "listed alone"])
def test_a_folder_that_may_not_be_read_has_stale_rows(demo: Demo, mode: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = sorted(path.parent for path in demo.outputs.rglob("checkpoints"))[0]
        barred = shutil.copytree(source, folder / "outputs" / "run") / "checkpoints"
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o777)
        assert as_nobody(folder, "scan", "outputs").returncode == 0
        before = json.loads(as_nobody(folder, "ls", "--format", "json").stdout)
        barred.chmod(mode)
        try:
            ended = as_nobody(folder, "scan", "outputs")
            assert ended.returncode == 0
            assert "can't be read: Permission denied" in ended.stderr
            found = json.loads(as_nobody(folder, "ls", "--format", "json").stdout)
            assert [{**row, "stale": False} for row in found] == before
            assert all(row["stale"] for row in found)
            ended = as_nobody(folder, "best", "-m", "val/hmean")
            assert (ended.returncode, ended.stdout) == (1, "")
            assert "can't be read: Permission denied\n" in ended.stderr
            assert "no longer there" not in ended.stderr
        finally:
            barred.chmod(0o777)
        assert as_nobody(folder, "scan", "outputs").returncode == 0
        assert json.loads(as_nobody(folder, "ls", "--format", "json").stdout) == before
