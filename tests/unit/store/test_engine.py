"""What connections promise."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.demo import lay_out
from catalogdb.errors import DatabaseError
from catalogdb.store.engine import driver_connection


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog.open(tmp_path / "catalog.db")
    catalog.scan(lay_out(tmp_path), use_wandb=False)
    return catalog


def test_many_readings_that_are_left_unfinished(catalog: Catalog) -> None:
    half_read = [catalog.iter_search() for _ in range(40)]
    assert len({next(each).id for each in half_read}) == 1
    catalog.close()


def test_a_backup_is_for_the_same_readers(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "catalog.db").chmod(0o600)
    assert catalog.backup(tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    catalog.close()


def test_the_users_own_facts_are_on_the_disk_when_it_is_said(catalog: Catalog) -> None:
    with catalog._store.facts_book() as book:
        assert driver_connection(book._connection).execute("PRAGMA synchronous").fetchone() == (2,)
    catalog.close()


def test_an_old_sqlite_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(
        DatabaseError, match=r"its SQLite library is 3\.34\.1, a catalog needs 3\.35 or newer; use a Python"
    ):
        Catalog.open(tmp_path / "catalog.db")
