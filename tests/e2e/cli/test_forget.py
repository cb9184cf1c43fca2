"""``forget``: a root leaves the catalog, and nothing else does."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.demo import lay_out
from catalogdb.errors import DatabaseError
from tests.e2e.cli.harness import Run, assert_one_line


@pytest.fixture
def two(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two roots in one catalog, 20 rows each."""
    monkeypatch.setenv("CATALOGDB_URL", str(home / "catalog.db"))
    monkeypatch.setenv("CATALOGDB_OFFLINE", "1")
    one = lay_out(home / "one")
    other = lay_out(home / "other")
    assert run("scan", str(one), str(other), "-q").code == 0
    return one, other


def test_only_its_rows_go(two: tuple[Path, Path], run: Run, home: Path) -> None:
    one, other = two
    ended = run("forget", str(one))
    assert (ended.code, ended.out) == (0, "20 rows forgotten\n")
    with Catalog.open() as catalog:
        assert [root.path for root in catalog.status().roots] == [str(other)]
        assert {row.root for row in catalog.search("state IS NOT NULL", max_results=None)} == {str(other)}
        assert catalog.count() == 20
    with closing(sqlite3.connect(home / "catalog.db")) as raw:
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        assert raw.execute(
            "SELECT count(*) FROM metrics WHERE checkpoint_id NOT IN (SELECT id FROM checkpoints)"
        ).fetchone() == (0,)
    assert (one / "run_042" / "checkpoints" / "model.ckpt").is_file()
    again = run("scan", str(one), "--format", "json")
    assert '"new": 20' in again.out


def test_one_that_is_gone_from_the_disk(two: tuple[Path, Path], run: Run) -> None:
    shutil.rmtree(two[0])
    assert run("forget", str(two[0])).out == "20 rows forgotten\n"


@pytest.mark.parametrize("words", [("tag", "1", "+good"), ("note", "1", "in the paper"), ("alias", "1", "prod")])
def test_the_users_own_facts_are_not_dropped_unasked(two: tuple[Path, Path], run: Run, words: tuple[str, ...]) -> None:
    assert run(*words).code == 0
    with Catalog.open() as catalog:
        root = catalog.get(1).root
    assert_one_line(run("forget", root), 2, root, "1 checkpoint has", "db export-facts", "--force")
    with Catalog.open() as catalog:
        assert catalog.count() == 40
    assert run("forget", root, "--force").out == "20 rows forgotten\n"
    with Catalog.open() as catalog:
        assert catalog.export_facts() == []


def test_what_is_no_root(two: tuple[Path, Path], run: Run, home: Path) -> None:
    one, _ = two
    assert_one_line(run("forget", str(home)), 1, str(home), "no root", "status")
    assert_one_line(run("forget", str(one / "run_042")), 1, "run_042", f"lies in one: {one}")


def test_one_whose_path_became_a_link(two: tuple[Path, Path], run: Run, home: Path) -> None:
    one, _ = two
    one.rename(home / "moved")
    one.symlink_to(home / "moved")
    assert run("forget", str(one)).out == "20 rows forgotten\n"


def test_one_that_is_watched_stays(two: tuple[Path, Path], run: Run) -> None:
    one, other = two
    with Catalog.open() as catalog:
        lease = catalog.lease([str(one)])
        lease.acquire()
        assert_one_line(run("forget", str(one)), 3, str(one), str(os.getpid()), "stop it first")
        assert run("forget", str(other)).code == 0
        lease.release()
    assert run("forget", str(one)).code == 0


def test_a_scan_that_is_under_way_says_so(two: tuple[Path, Path], run: Run) -> None:
    one, _ = two
    with Catalog.open() as catalog:

        def forget(_progress: object) -> None:
            run("forget", str(one))

        with pytest.raises(DatabaseError, match=f"{one}: was forgotten"):
            catalog.scan(one, full=True, workers=1, on_progress=forget)
        assert catalog.count(f"path LIKE '{one}/%'") == 0
