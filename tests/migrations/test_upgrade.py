"""A populated catalog of each released schema is upgraded, loses nothing, and is used.

``databases/NNNN.sql`` is the demo's tree as that schema kept it, at ``/data/outputs``, with what a user says of it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from catalogdb import Catalog
from catalogdb.demo import lay_out
from catalogdb.errors import SchemaOutdated
from catalogdb.store import migrate
from catalogdb.store.catalog_store import Store
from catalogdb.store.engine import make_engine, parse_url
from catalogdb.store.models import metadata

DATABASES = sorted(Path(__file__).with_name("databases").glob("*.sql"))
ROOT = "/data/outputs"

ASKED_AGAIN = {"wandb_history"}
"""Caches that an upgrade may empty: what they held is W&B's, and is asked for again."""

DROPPED = {("wandb_runs", "history_complete")}

Rows = dict[str, list[dict[str, Any]]]


def restore(dump: Path, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))


def rows_of(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%'"
        names = [row[0] for row in connection.execute(tables)]
        return {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}


def schema_of(path: Path) -> dict[tuple[str, str], str]:
    """Views and indexes by their text; tables are compared by Alembic."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT type, name, sql FROM sqlite_master WHERE type <> 'table' AND sql IS NOT NULL"
        return {(kind, name): " ".join(sql.split()) for kind, name, sql in connection.execute(query)}


@pytest.fixture(params=DATABASES, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A released revision and a catalog of it."""
    dump: Path = request.param
    path = tmp_path / "catalog.db"
    restore(dump, path)
    return dump.stem, path


def test_no_row_is_lost_or_changed(old: tuple[str, Path]) -> None:
    revision, path = old
    before = rows_of(path)
    if revision != migrate.HEAD:
        with pytest.raises(SchemaOutdated, match="catalogdb db upgrade"):
            Store.open(f"sqlite:///{path}")
    report = Store.upgrade(f"sqlite:///{path}")
    assert (report.before, report.after) == (revision, migrate.HEAD)
    if report.backup is not None:
        assert rows_of(report.backup) == before
    after = rows_of(path)
    for table in before.keys() - {"alembic_version"} - ASKED_AGAIN:
        old_rows = [{name: row[name] for name in row if (table, name) not in DROPPED} for row in before[table]]
        kept = [{name: row[name] for name in old_row} for row, old_row in zip(after[table], old_rows, strict=True)]
        assert kept == old_rows, table


def test_the_schema_is_that_of_a_new_file(old: tuple[str, Path], tmp_path: Path) -> None:
    _, path = old
    Store.upgrade(f"sqlite:///{path}")
    Store.open(f"sqlite:///{tmp_path}/new.db").close()
    assert schema_of(path) == schema_of(tmp_path / "new.db")
    engine = make_engine(parse_url(f"sqlite:///{path}"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    store = Store.open(f"sqlite:///{path}")
    assert store.check() == []
    store.close()


def test_an_upgraded_catalog_is_used(old: tuple[str, Path], tmp_path: Path) -> None:
    """Asked as it is; then scanned where its tree lies, and what the user said is still there."""
    _, path = old
    Store.upgrade(f"sqlite:///{path}")
    with Catalog.open(path) as catalog:
        before = {checkpoint.rel_path: checkpoint for checkpoint in catalog.search("", max_results=None)}
        assert len(before) == 11
        best = catalog.best("val/hmean")
        assert best is not None
        assert best.rel_path == "run_042/checkpoints/model.ckpt"
        assert catalog.get("@champion").tags == {"production": None, "stage": "prod"}
    outputs = lay_out(tmp_path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE roots SET path = ? WHERE path = ?", (str(outputs), ROOT))
    with Catalog.open(path) as catalog:
        report = catalog.scan(outputs)
        assert (report.total, report.new, report.problems) == (20, 8, ())
        after = {checkpoint.rel_path: checkpoint for checkpoint in catalog.search("", max_results=None)}
        for rel_path, known in before.items():
            scanned = after[rel_path]
            assert scanned.id == known.id
            assert known.metrics.items() <= scanned.metrics.items()
            assert known.params.items() <= scanned.params.items()
            assert (scanned.tags, scanned.note, scanned.aliases) == (known.tags, known.note, known.aliases)


def upgraded_to(revision: str, dump: Path, path: Path) -> None:
    """A catalog of a revision that was never released."""
    restore(dump, path)
    config = Config()
    config.set_main_option("script_location", str(migrate.scripts_directory()))
    with make_engine(parse_url(f"sqlite:///{path}")).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def test_0007_gives_a_root_that_is_a_checkpoint_its_path_and_keeps_watchers(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    upgraded_to("0006", DATABASES[0], path)
    overview = "SELECT id, path FROM checkpoint_overview ORDER BY id"
    with closing(sqlite3.connect(path)) as connection, connection:
        others = connection.execute(overview).fetchall()[1:]
        connection.execute("INSERT INTO roots (id, path, added_at) VALUES (9, '/data/checkpoint-5', '')")
        first = "(SELECT min(id) FROM checkpoints WHERE state <> 'missing')"
        connection.execute(f"UPDATE checkpoints SET root_id = 9, rel_path = '.' WHERE id = {first}")
        connection.execute("UPDATE watchers SET pid_namespace = 'pid:[1]', polled = '[]'")
        watchers = connection.execute("SELECT * FROM watchers").fetchall()
    before = rows_of(path)
    Store.upgrade(f"sqlite:///{path}")
    after = rows_of(path)
    assert {name: rows for name, rows in after.items() if name != "alembic_version"} == {
        name: rows for name, rows in before.items() if name != "alembic_version"
    }
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("SELECT * FROM watchers").fetchall() == watchers != []
        (_, own), *rest = connection.execute(overview).fetchall()
        assert (own, rest) == ("/data/checkpoint-5", others)
        again = "INSERT INTO watchers (host, pid, pid_namespace, roots, started_at, heartbeat_at) "
        same = "SELECT host, pid, ?, roots, started_at, heartbeat_at FROM watchers WHERE id = 1"
        connection.execute(again + same, ("pid:[2]",))
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            connection.execute(again + same, ("pid:[1]",))
