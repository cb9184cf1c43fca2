"""A disk that fills up under a scan: one clear line, the right code, and no row that was written is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from catalogdb.catalog import Catalog
from catalogdb.demo import lay_out

SCRIPT = """
import resource, signal, sys
from catalogdb.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(main(sys.argv[2:]))
"""


def with_room(size: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process whose files can't grow beyond ``size`` bytes."""
    command = [sys.executable, "-c", SCRIPT, str(size), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))


@pytest.mark.parametrize("room", [0, 40_000])
def test_no_room_for_a_new_catalog(tmp_path: Path, room: int) -> None:
    outputs = lay_out(tmp_path)
    run = with_room(room, "--db", str(tmp_path / "catalog.db"), "scan", str(outputs))
    assert run.returncode == 3
    assert "catalog.db" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    with Catalog.open(tmp_path / "catalog.db") as catalog:
        assert catalog.scan(outputs).new == 20


def test_no_room_for_more_rows(tmp_path: Path) -> None:
    outputs = lay_out(tmp_path / "first")
    database = tmp_path / "catalog.db"
    with Catalog.open(database) as catalog:
        catalog.scan(outputs)
    more = lay_out(tmp_path / "second")
    run = with_room(16_384, "--db", str(database), "scan", str(more))
    assert run.returncode == 3
    assert len(run.stderr.splitlines()) == 1
    assert "disk" in run.stderr
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with Catalog.open(database) as catalog:
        assert catalog.count(f"root = '{outputs}'") == 20
        catalog.scan(more)
        assert catalog.count() == 40


def test_no_room_for_a_backup(tmp_path: Path) -> None:
    outputs = lay_out(tmp_path)
    database = tmp_path / "catalog.db"
    with Catalog.open(database) as catalog:
        catalog.scan(outputs)
    copies = tmp_path / "copies"
    copies.mkdir()
    run = with_room(40_000, "--db", str(database), "db", "backup", str(copies / "copy.db"))
    assert run.returncode == 3
    assert len(run.stderr.splitlines()) == 1
    assert list(copies.iterdir()) == []
    with Catalog.open(database) as catalog:
        catalog.backup(copies / "copy.db")
    with Catalog.open(copies / "copy.db") as catalog:
        assert catalog.count() == 20
