"""The schema is made by migrations alone, and equals the models."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from catalogdb.errors import DatabaseError, SchemaOutdated, SchemaTooNew
from catalogdb.records import FIELD_NAMES
from catalogdb.store import migrate
from catalogdb.store.catalog_store import Store
from catalogdb.store.engine import make_engine, parse_url
from catalogdb.store.models import metadata

VIEWS = {
    "checkpoint_overview",
    "checkpoint_metrics",
    "checkpoint_params",
    "best_checkpoints",
    "wandb_run_cache",
}


def test_models_and_migrations_agree(tmp_path: Path) -> None:
    engine = make_engine(parse_url(f"sqlite:///{tmp_path}/catalog.db"))
    migrate.open_schema(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_head_is_the_newest_script() -> None:
    assert ScriptDirectory(str(migrate.scripts_directory())).get_current_head() == migrate.HEAD


def test_a_new_file_has_the_views_and_wal(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "catalog.db"
    Store.open(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        assert {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")} == VIEWS
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_a_catalog_in_memory() -> None:
    store = Store.open("sqlite://")
    assert store.check() == []
    store.close()


def test_odd_paths(tmp_path: Path) -> None:
    path = tmp_path / "50% of ünïcode" / "my catalog.db"
    Store.open(f"sqlite:///{path}").close()
    assert path.is_file()


def test_the_overview_has_every_field_of_a_row(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    Store.open(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(checkpoint_overview)")}
    connection.close()
    assert set(FIELD_NAMES) <= columns


def set_revision(path: Path, revision: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    Store.open(f"sqlite:///{path}").close()
    set_revision(path, "9999")
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew, match="9999"):
        Store.open(f"sqlite:///{path}")
    with pytest.raises(SchemaTooNew, match="9999"):
        Store.upgrade(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_an_older_schema_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "catalog.db"
    Store.open(f"sqlite:///{path}").close()
    monkeypatch.setattr(migrate, "HEAD", "9998")
    with pytest.raises(SchemaOutdated, match="catalogdb db upgrade"):
        Store.open(f"sqlite:///{path}")


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (title)")
    connection.close()
    with pytest.raises(SchemaTooNew, match="another program"):
        Store.open(f"sqlite:///{path}")


@pytest.mark.parametrize("content", [b"not a database, but some text that is long enough" * 100, b"\0" * 4096 + b"x"])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="isn't a SQLite file"):
        Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == content


@pytest.mark.parametrize("use", [Store.open, Store.upgrade, Store.revision])
def test_a_folder_is_no_database(tmp_path: Path, use: Callable[[str], object]) -> None:
    with pytest.raises(DatabaseError, match=r"is a folder; give the file"):
        use(f"sqlite:///{tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_upgrade_of_a_current_catalog_does_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalog.db"
    Store.open(url).close()
    report = Store.upgrade(url)
    assert (report.before, report.after, report.backup) == (migrate.HEAD, migrate.HEAD, None)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".bak"] == []


def test_backup_refuses_to_overwrite(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/catalog.db")
    copy = store.backup(tmp_path / "copy.db")
    Store.open(f"sqlite:///{copy}").close()
    with pytest.raises(DatabaseError, match="exists already"):
        store.backup(copy)
    store.close()
