"""Random trees of outputs against the truth about them: each value of each row is right, or null; never wrong.

Then people and trainings add, edit, move and delete, and after another scan it has to hold again.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import catalogdb.ingest.batches
from catalogdb import Catalog
from catalogdb.records import Checkpoint, ScanReport
from catalogdb.settings import Settings
from tests.e2e.tree_changes import change
from tests.e2e.tree_files import checkpoint_bytes
from tests.e2e.tree_truth import check, check_tags, expected_rows
from tests.e2e.trees import Tree

PATIENT = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
SHAPES = {"seed": st.integers(0, 2**20), "runs": st.integers(1, 3), "saves": st.integers(1, 4)}


@pytest.fixture(scope="module")
def empty_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: the schema's migration costs more than the scan of a small tree."""
    path = tmp_path_factory.mktemp("empty") / "catalog.db"
    with opened(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def opened(database: Path) -> Catalog:
    url = f"sqlite:///{database}"
    return Catalog.open(url, settings=Settings(url=url))


def scan(tree: Tree, database: Path, *, full: bool = False) -> tuple[ScanReport, list[Checkpoint]]:
    """The report, and every row that the catalog then has, the missing ones included."""
    with opened(database) as catalog:
        report = catalog.scan(tree.root, full=full, use_wandb=False)
        return report, catalog.search("state IS NOT NULL", max_results=None)


def tag_new_rows(tree: Tree, database: Path) -> None:
    """Each row that has no tag gets one of its own, and the truth remembers it."""
    with closing(sqlite3.connect(database)) as connection, connection:
        rows = connection.execute(
            "SELECT id, rel_path FROM checkpoints WHERE id NOT IN (SELECT checkpoint_id FROM tags)"
        ).fetchall()
        live, missing = expected_rows(tree)
        entries = {**live, **missing}
        for row_id, path in rows:
            entries[path].tags = frozenset({f"t{row_id}"})
            connection.execute("INSERT INTO tags VALUES (?, ?, NULL, '2026-01-01')", (row_id, f"t{row_id}"))


def tags_of(database: Path) -> dict[str, frozenset[str]]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT rel_path, key FROM tags JOIN checkpoints ON id = checkpoint_id").fetchall()
    return {path: frozenset(key for other, key in rows if other == path) for path, _ in rows}


def check_report(report: ScanReport, rows: list[Checkpoint], *, full: bool) -> None:
    live = [row for row in rows if row.state != "missing"]
    assert report.total == len(live)
    by_tier = {tier: sum(row.source == tier for row in live) for tier in ("yaml", "wandb", "legacy")}
    assert (report.yaml, report.wandb, report.legacy) == tuple(by_tier.values())
    assert report.new + report.updated + report.unchanged + report.moved == report.total
    assert not full or report.unchanged == 0
    assert report.writing == sum(row.state == "writing" for row in live)
    assert report.unreadable == sum(row.state in ("truncated", "unreadable") for row in live)


def check_equal(rows: list[Checkpoint], afresh: list[Checkpoint]) -> None:
    """What a scan made of what was known equals what it makes of nothing, but for what only time can tell.

    A sidecar that can't be read leaves in place what it said before: there the new catalog may know less.
    """
    known = {row.path: row for row in rows if row.state != "missing"}
    new = {row.path: row for row in afresh}
    assert known.keys() == new.keys()
    for path, row in known.items():
        same = replace(row, id=0, tags={}, problems=()), replace(new[path], id=0, problems=())
        if row.stale:
            assert new[path].stale
            for name in ("epoch", "global_step", "architecture", "backbone", "max_epochs"):
                assert getattr(new[path], name) in (None, getattr(row, name)), (path, name)
            assert new[path].metrics.keys() <= row.metrics.keys()
            continue
        assert repr(same[0]) == repr(same[1])
        assert sorted(row.problems) == sorted(new[path].problems)


@settings(PATIENT, max_examples=120)
@given(**SHAPES, rounds=st.lists(st.integers(1, 10), max_size=4), full=st.booleans(), batch=st.sampled_from((3, 512)))
def test_each_value_is_right_or_null_whatever_happens_to_the_tree(
    empty_catalog: Path, seed: int, runs: int, saves: int, rounds: list[int], full: bool, batch: int
) -> None:
    with tempfile.TemporaryDirectory() as path, patch.object(catalogdb.ingest.batches, "BATCH", batch):
        folder = Path(path)
        database = folder / "catalog.db"
        shutil.copy(empty_catalog, database)
        tree = Tree(folder, seed)
        tree.build(runs=runs, saves=saves)
        report, rows = scan(tree, database, full=full)
        check(tree, rows, full=full)
        check_report(report, rows, full=full)
        for number, count in enumerate(rounds):
            tag_new_rows(tree, database)
            note(f"round {number}: {', '.join(change(tree, count))}")
            report, rows = scan(tree, database, full=full)
            check(tree, rows, full=full)
            check_report(report, rows, full=full)
            check_tags(tree, tags_of(database))
            other = folder / f"afresh-{number}.db"
            shutil.copy(empty_catalog, other)
            check_equal(rows, scan(tree, other, full=full)[1])


@settings(PATIENT, max_examples=15)
@given(**SHAPES, count=st.integers(0, 8))
def test_a_second_scan_changes_nothing(empty_catalog: Path, seed: int, runs: int, saves: int, count: int) -> None:
    with tempfile.TemporaryDirectory() as path:
        database = Path(path) / "catalog.db"
        shutil.copy(empty_catalog, database)
        tree = Tree(Path(path), seed)
        tree.build(runs=runs, saves=saves)
        scan(tree, database)
        change(tree, count)
        first, before = scan(tree, database)
        second, after = scan(tree, database)
        assert list(map(repr, after)) == list(map(repr, before))
        assert (second.new, second.moved, second.missing) == (0, 0, 0)
        assert second.updated == second.writing, "what is being written is looked at again, and nothing else"
        assert second.total == first.total


OPENS = """
import sys
from pathlib import Path
from catalogdb import Catalog
from catalogdb.settings import Settings

root, url = sys.argv[1:]
opened = []

def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = arguments[0] if isinstance(arguments[0], str) else arguments[0].decode("utf-8", "replace")
        if path.startswith(root):
            opened.append(path)

with Catalog.open(url, settings=Settings(url=url)) as catalog:
    catalog.scan(root, use_wandb=False)
    sys.addaudithook(hook)
    first = catalog.scan(root, use_wandb=False)
    print(len(opened), first.total, first.unchanged)
    changed = Path(root, sys.stdin.read())
    changed.write_bytes(changed.read_bytes() + b" ")
    opened.clear()
    second = catalog.scan(root, use_wandb=False)
    print(len(set(opened)), second.updated)
"""


def test_an_unchanged_tree_is_not_read_and_a_changed_file_alone_is(folder: Path) -> None:
    """Counted by an audit hook, in a process of its own: it can't be taken off again."""
    tree = Tree(folder, 7)
    tree.build(runs=4, saves=4)
    for path, entry in list(tree.entries.items()):
        if not entry.whole and not entry.is_link:
            assert entry.content is not None
            tree.put_checkpoint(path, entry.content)
    for path in sorted(tree.foreign):
        tree.age(tree.disk(path))
    alone = next(path for path, entry in tree.entries.items() if entry.sidecar is None and not entry.is_link)
    done = subprocess.run(
        [sys.executable, "-c", OPENS, str(tree.root), f"sqlite:///{folder}/catalog.db"],
        input=alone,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = (list(map(int, line.split())) for line in done.stdout.splitlines())
    assert first == [0, len(tree.entries), len(tree.entries)]
    links = sum(tree.target(path) == alone for path in tree.entries)
    configs_read = second[0] - 1 - links
    assert configs_read <= 1
    assert second[1] == links


HOSTILE = {
    "half a character": r'{"a": "\ud800", "model": {"architecture": "\udfff"}}',
    "a null byte": r'{"a": "x\u0000y", "model": {"architecture": "a\u0000b"}}',
    "huge numbers": f'{{"a": {10**400}, "trainer": {{"max_epochs": {10**30}}}, "training": {{"epoch": {10**30}}}}}',
    "no numbers": '{"a": Infinity, "b": NaN, "trainer": {"max_epochs": NaN}, "metrics": {"hmean": NaN}}',
    "too deep": '{"a":' * 500 + "1" + "}" * 500,
    "too long": f'{{"a": "{"x" * 100_000}", "exp_name": "{"y" * 100_000}"}}',
    "a list": "[1, 2]",
    "nothing": "",
}


def test_no_document_beside_a_checkpoint_stops_the_scan(folder: Path) -> None:
    tree = Tree(folder, 3)
    tree.build(runs=2, saves=4)
    contents = [entry.content for entry in tree.entries.values() if entry.content is not None]
    content = next(content for content in contents if "epoch" in content.tells)
    for number, text in enumerate(HOSTILE.values()):
        for name in ("config.json", "metadata.yaml"):
            path = f"hostile/{number}-{name}"
            tree.put(f"{path}.ckpt", checkpoint_bytes(content))
            tree.put(f"{path}.{name}", text.encode())
    report, rows = scan(tree, folder / "catalog.db")
    assert report.total == len(rows) == len(tree.entries) + 2 * len(HOSTILE)
    hostile = [row for row in rows if row.rel_path.startswith("hostile/")]
    assert all((row.state, row.epoch) == ("ready", content.save.epoch) for row in hostile)
    assert all(row.hmean is None or 0 <= row.hmean <= 1 for row in hostile)
    assert all("\n" not in problem for row in hostile for problem in row.problems)
