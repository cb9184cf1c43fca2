"""``scan``, ``db`` and ``demo``: what makes and keeps a catalog."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.cli.harness import PROGRAM, SUMMARY, Demo, Run, assert_one_line


def test_scan_ends_with_the_summary(run: Run, demo: Demo) -> None:
    ended = run("scan", str(demo.outputs), "--no-wandb")
    assert ended.code == 0
    assert len(ended.lines) == 1
    assert SUMMARY.fullmatch(ended.lines[0])
    assert f"{demo.size} new" in ended.err
    again = run("scan", str(demo.outputs), "--no-wandb")
    assert f"{demo.size} unchanged" in again.err
    assert run("-q", "scan", str(demo.outputs), "--no-wandb").err == ""
    assert "unchanged" not in run("scan", str(demo.outputs), "--no-wandb", "--full").err


def test_scan_as_json(run: Run, demo: Demo) -> None:
    ended = run("scan", str(demo.outputs), "--format", "json", "--offline", "--workers", "2")
    report = json.loads(ended.out)
    assert report["roots"] == [str(demo.outputs)]
    assert report["total"] == report["yaml"] + report["wandb"] + report["legacy"] == demo.size
    counts = {"new", "updated", "unchanged", "moved", "missing", "writing", "unreadable"}
    assert set(report) == {"roots", "total", "yaml", "wandb", "legacy", "seconds", "problems"} | counts


def test_scan_without_a_root_takes_those_of_the_settings(run: Run, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOGDB_ROOTS", str(demo.outputs))
    assert f"{demo.size} entries" in run("scan").out


def test_scan_of_what_cannot_be_scanned(run: Run, home: Path) -> None:
    (home / "file.txt").write_text("x", encoding="utf-8")
    assert_one_line(run("scan", "nowhere"), 3, "nowhere")
    assert_one_line(run("scan", "file.txt"), 3, "file.txt")


def test_scan_says_what_is_wrong_with_single_files_and_ends_well(run: Run, home: Path) -> None:
    for number in range(25):
        (home / "out").mkdir(exist_ok=True)
        path = home / "out" / f"broken-{number}.ckpt"
        path.write_bytes(b"PK\x03\x04 this is cut off")
        os.utime(path, (1_700_000_000, 1_700_000_000))
    ended = run("scan", "out")
    assert ended.code == 0
    assert len(ended.lines) == 1
    problems = [line for line in ended.err.splitlines() if "broken-" in line]
    assert len(problems) == 20
    assert "and 5 more; see catalogdb status" in ended.err
    assert json.loads(run("scan", "out", "--format", "json", "--full").out)["unreadable"] <= 25


def test_an_interrupted_scan_says_what_is_kept(home: Path) -> None:
    """A real interrupt, in the middle of a scan that doesn't end by itself. A shell's background jobs ignore it."""
    (home / "out").mkdir()
    script = (
        "import signal, sys, time; from catalogdb.catalog import Catalog\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def scan(self, *roots, **options):\n"
        "    print('scanning', flush=True); time.sleep(30)\n"
        "Catalog.scan = scan\n"
        "from catalogdb.cli.main import main; sys.exit(main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "scan", "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "scanning\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == ""
    assert err == "interrupted; the rows so far are kept, and the next scan carries on\n"


def test_db_current_and_upgrade(ask: Run) -> None:
    current = ask("db", "current")
    assert current.code == 0
    ended = ask("db", "upgrade")
    assert (ended.code, ended.out) == (0, f"{current.out.strip()}: up to date\n")


def test_db_backup(ask: Run, run: Run, home: Path) -> None:
    ended = ask("db", "backup", "copy.db")
    assert (ended.code, ended.out) == (0, f"{home}/copy.db\n")
    assert run("db", "check", "--db", "copy.db").out == "ok\n"
    assert_one_line(ask("db", "backup", "copy.db"), 3, "copy.db")


def test_db_backup_beside(run: Run, demo: Demo, home: Path) -> None:
    shutil.copy(demo.database, home / "own.db")
    ended = run("db", "backup", "--db", "own.db")
    assert ended.code == 0
    assert re.fullmatch(r"own-\d{8}T\d{6}\.db", Path(ended.lines[0]).name)
    assert Path(ended.lines[0]).parent == home


def test_demo(run: Run, home: Path) -> None:
    ended = run("demo", "try")
    assert ended.code == 0
    assert any(SUMMARY.fullmatch(line) for line in ended.lines)
    best = next(line for line in ended.lines if line.startswith("Best val/hmean"))
    assert Path(best.split(" in ")[1]).is_file()
    assert (home / "try" / "catalog.db").is_file()
    assert not (home / "data").exists()
    examples = [line.strip() for line in ended.lines if line.startswith("  catalogdb ")]
    assert len(examples) >= 5
    program = home / "catalogdb"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{PROGRAM[2]}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{home}:{os.environ['PATH']}"}
    for example in examples:
        done = subprocess.run(["sh", "-c", example], env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, bool(done.stdout)) == (0, True), (example, done.stderr)


def test_demo_where_something_is(run: Run, home: Path) -> None:
    (home / "file").write_text("x", encoding="utf-8")
    assert_one_line(run("demo", "file"), 2, "file")
