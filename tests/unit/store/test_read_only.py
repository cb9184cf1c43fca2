"""A catalog that may be read but not written answers; a scan into it says so in one line."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogdb.catalog import Catalog
from catalogdb.demo import lay_out
from catalogdb.store.engine import read_only_snapshot

SCRIPT = """
import contextlib, io, os, sys
from catalogdb.cli.main import main
rehearsal, database, *arguments = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    main(["--db", rehearsal, *arguments])  # everything is imported before the rights are gone
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main(["--db", database, *arguments]))
"""


def as_nobody(catalog: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}
    rehearsal = catalog.parent.parent / "rehearsal.db"
    if not rehearsal.exists():
        shutil.copy(catalog, rehearsal)
        rehearsal.chmod(0o644)
    command = [sys.executable, "-c", SCRIPT, str(rehearsal), str(catalog), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd="/")


@pytest.fixture(params=["file", "folder"])
def catalog(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A catalog whose file, or whose folder, may not be written, where everyone may read: another session of pytest
    closes ``tmp_path`` to everyone else."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        shared = Path(place) / "shared"
        shared.mkdir()
        path = shared / "catalog.db"
        with Catalog.open(path) as opened:
            opened.scan(lay_out(Path(place)))
        path.chmod(0o444 if request.param == "file" else 0o644)
        shared.chmod(0o755 if request.param == "file" and os.geteuid() == 0 else 0o555)
        yield path
        shared.chmod(0o755)


def test_it_answers(catalog: Path) -> None:
    listed = as_nobody(catalog, "ls", "-n", "0", "--format", "path")
    assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 20), listed.stderr
    assert as_nobody(catalog, "status").returncode == 0


def test_a_scan_says_what_is_wrong(catalog: Path) -> None:
    scanned = as_nobody(catalog, "scan", str(catalog.parent.parent / "outputs"))
    assert scanned.returncode == 3
    assert str(catalog) in scanned.stderr
    assert len(scanned.stderr.splitlines()) == 1
    assert "Traceback" not in scanned.stderr


def test_a_users_own_sql_has_a_file_that_is_open_for_reading_alone(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    with Catalog.open(path) as catalog:
        assert list(catalog.sql("SELECT count(*) FROM checkpoint_overview").rows) == [(0,)]
        with read_only_snapshot(path) as raw:
            raw.execute("PRAGMA query_only = OFF")
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                raw.execute("DELETE FROM roots")
    assert [left.name for left in tmp_path.iterdir()] == ["catalog.db"]
