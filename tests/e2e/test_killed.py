"""Scans that are killed, scans that meet, and catalogs that many open at once."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from catalogdb import Catalog
from catalogdb.records import Checkpoint
from catalogdb.settings import Settings
from tests.e2e.tree_truth import check
from tests.e2e.trees import Tree

BATCH = 8
"""Checkpoints per transaction here, so that a small tree takes many."""

SCANNER = f"""
import sys
import catalogdb.ingest.batches
import catalogdb.reading.pieces
import catalogdb.reading.readers
from catalogdb import Catalog
from catalogdb.settings import Settings

catalogdb.ingest.batches.BATCH = catalogdb.reading.pieces.PIECE = {BATCH}
root, url, workers = sys.argv[1:4]
if int(workers) > 1:
    catalogdb.reading.readers.WORTH_PROCESSES = 1
print("ready", flush=True)
sys.stdin.readline()
with Catalog.open(url, settings=Settings(url=url)) as catalog:
    print(catalog.scan(root, use_wandb=False, workers=int(workers)).total, flush=True)
"""

OPENER = """
import sys
from catalogdb import Catalog
from catalogdb.settings import Settings

url = sys.argv[1]
print("ready", flush=True)
sys.stdin.readline()
with Catalog.open(url, settings=Settings(url=url)) as catalog:
    print(catalog.count(), catalog.check(), flush=True)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    tree = Tree(tmp_path_factory.mktemp("killed"), 11)
    tree.build(runs=40, saves=4)
    return tree


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that has imported all it needs, and waits for a line."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def release(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output.strip()


def rows_of(database: Path) -> list[Checkpoint]:
    url = f"sqlite:///{database}"
    with Catalog.open(url, settings=Settings(url=url)) as catalog:
        return catalog.search("state IS NOT NULL", max_results=None)


def without_ids(rows: Sequence[Checkpoint]) -> list[str]:
    return sorted(repr(replace(row, id=0)) for row in rows)


@pytest.fixture(scope="module")
def undisturbed(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> list[Checkpoint]:
    database = tmp_path_factory.mktemp("undisturbed") / "catalog.db"
    scanner = start(SCANNER, tree.root, f"sqlite:///{database}", 1)
    release([scanner])
    assert finish(scanner) == str(len(tree.entries))
    rows = rows_of(database)
    check(tree, rows, full=False)
    return rows


def test_a_killed_scan_leaves_whole_rows_and_the_next_one_carries_on(
    tree: Tree, undisturbed: list[Checkpoint], tmp_path: Path
) -> None:
    """Killed at random moments, again and again on the same file, until a scan comes through."""
    rng = random.Random(5)
    database = tmp_path / "catalog.db"
    whole = {row.path: replace(row, id=0) for row in undisturbed}
    counts = []
    for attempt in range(8):
        scanner = start(SCANNER, tree.root, f"sqlite:///{database}", 1 + attempt % 2)
        release([scanner])
        time.sleep(rng.uniform(0.05, 0.45))
        readers = psutil.Process(scanner.pid).children()
        scanner.send_signal(signal.SIGKILL)
        scanner.communicate()
        assert not psutil.wait_procs(readers, timeout=10)[1], "a process that reads outlives the scan"
        counts.append(check_whole(database, whole))
    assert counts == sorted(counts), "a row that was written once was lost"
    scanner = start(SCANNER, tree.root, f"sqlite:///{database}", 1)
    release([scanner])
    finish(scanner)
    assert without_ids(rows_of(database)) == without_ids(undisturbed)


def check_whole(database: Path, whole: dict[str, Checkpoint]) -> int:
    """Every row that is there is as the undisturbed scan has it; how many there are."""
    if not database.exists() or not database.stat().st_size:
        return 0
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "checkpoints" in tables or not tables, "half a schema"
    rows = rows_of(database)
    for row in rows:
        assert repr(replace(row, id=0)) == repr(whole[row.path])
    return len(rows)


def test_a_scan_killed_at_each_commit(tree: Tree, undisturbed: list[Checkpoint], tmp_path: Path) -> None:
    """The moment between two transactions, and the middle of each: the process ends itself there."""
    script = SCANNER.replace(
        'print("ready"',
        "import os\nimport catalogdb.store.writer as writer\nleft = int(sys.argv.pop())\n"
        "real = writer.Writer.upsert\n"
        "def upsert(self, *arguments):\n"
        "    global left\n    real(self, *arguments)\n    left -= 1\n"
        "    if not left:\n        os._exit(9)\n"
        'writer.Writer.upsert = upsert\nprint("ready"',
        1,
    )
    whole = {row.path: replace(row, id=0) for row in undisturbed}
    kept = []
    for moment in (1, 2, 5):
        database = tmp_path / f"{moment}.db"
        scanner = start(script, tree.root, f"sqlite:///{database}", 1, moment)
        release([scanner])
        scanner.communicate()
        assert scanner.returncode == 9
        kept.append(check_whole(database, whole))
    assert kept[0] == 0
    assert 0 < kept[1] <= BATCH < kept[2] <= 4 * BATCH


def test_reading_in_several_processes_gives_the_same_rows(
    tree: Tree, undisturbed: list[Checkpoint], tmp_path: Path
) -> None:
    scanner = start(SCANNER, tree.root, f"sqlite:///{tmp_path}/catalog.db", 3)
    release([scanner])
    assert finish(scanner) == str(len(tree.entries))
    assert without_ids(rows_of(tmp_path / "catalog.db")) == without_ids(undisturbed)


def test_two_scans_of_the_same_tree_at_once_both_succeed(
    tree: Tree, undisturbed: list[Checkpoint], tmp_path: Path
) -> None:
    database = tmp_path / "catalog.db"
    scanners = [start(SCANNER, tree.root, f"sqlite:///{database}", 1) for _ in range(2)]
    release(scanners)
    assert [finish(scanner) for scanner in scanners] == [str(len(tree.entries))] * 2
    assert without_ids(rows_of(database)) == without_ids(undisturbed)


def test_ten_processes_open_the_same_new_file_at_once(tmp_path: Path) -> None:
    openers = [start(OPENER, f"sqlite:///{tmp_path}/catalog.db") for _ in range(10)]
    release(openers)
    assert [finish(opener) for opener in openers] == ["0 []"] * 10
    assert {path.name for path in tmp_path.iterdir()} <= {"catalog.db", "catalog.db-wal", "catalog.db-shm"}
