"""The schema's only door: makes a new file at head, upgrades an old one, refuses one that it doesn't know."""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine

from catalogdb.errors import DatabaseError, SchemaOutdated, SchemaTooNew
from catalogdb.records import UpgradeReport
from catalogdb.store.engine import BUSY_TIMEOUT_MS, database_path, driver_connection, failures_of, immediate

HEAD = "0007"
"""The newest revision. A test holds it equal to the scripts' head, so that opening a catalog needs no Alembic run."""

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

_lock = threading.Lock()


def scripts_directory() -> Path:
    """The migrations inside the installed package, or those of the checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory  # noqa: PLC0415  # 150 ms that a catalog at head needn't pay

    return ScriptDirectory(str(scripts_directory()))


def current_revision(connection: Connection) -> str | None:
    """The file's revision; None for an empty file. Raises SchemaTooNew for a file that is no catalog."""
    tables = {row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" not in tables:
        if tables - {"sqlite_sequence"}:
            raise SchemaTooNew(
                f"{_name(connection)}: is another program's database, not a catalog; choose another file"
            )
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def open_schema(engine: Engine) -> None:
    """Current goes on; empty is made at head; older raises SchemaOutdated, unknown SchemaTooNew."""
    with failures_of(database_path(engine.url)), engine.connect() as connection:
        revision = current_revision(connection)
        if revision is None:
            _migrate(connection)
        elif revision != HEAD:
            raise _mismatch(connection, revision)


def check_schema(engine: Engine) -> None:
    """The same for a file that can't be written: only a current one will do."""
    with failures_of(database_path(engine.url)), engine.connect() as connection:
        revision = current_revision(connection)
        if revision != HEAD:
            raise _mismatch(connection, revision or "none")


def upgrade(engine: Engine) -> UpgradeReport:
    """Brings a catalog to head; an older one is first copied beside itself."""
    path = database_path(engine.url)
    with failures_of(path), engine.connect() as connection:
        before = current_revision(connection)
        if before == HEAD:
            return UpgradeReport(before, HEAD, None)
        if before is not None and not _is_known(before):
            raise _mismatch(connection, before)
        copy = backup(connection, _backup_name(path, before)) if path is not None and before is not None else None
        _migrate(connection)
        return UpgradeReport(before, HEAD, copy)


def backup(connection: Connection, destination: Path) -> Path:
    """A consistent copy through SQLite's backup API, while others read and write. It is there whole, or not at all, and
    who may read the catalog may read it."""
    if os.path.lexists(destination):
        raise DatabaseError(f"{destination}: exists already; choose another name")
    if not destination.parent.is_dir():
        raise DatabaseError(f"{destination.parent}: no such folder")
    source = database_path(connection.engine.url)
    mode = 0o600 if source is None else source.stat().st_mode & 0o777
    part = destination.with_name(f"{destination.name}.{secrets.token_hex(4)}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode))
        with closing(sqlite3.connect(part)) as target:
            driver_connection(connection).backup(target)
        part.rename(destination)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return destination


def _backup_name(path: Path, revision: str) -> Path:
    stamp = datetime.now().astimezone().strftime("%Y%m%dT%H%M%S")
    return path.with_name(f"{path.name}.{revision}.{stamp}.bak")


def _migrate(connection: Connection) -> None:
    """Runs the chain under one process lock and SQLite's write lock; foreign keys off, so that no batch cascades."""
    from alembic import command  # noqa: PLC0415  # as above
    from alembic.config import Config  # noqa: PLC0415  # as above

    config = Config()
    config.set_main_option("script_location", str(scripts_directory()).replace("%", "%%"))
    config.attributes["connection"] = connection
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with _lock:
        _use_wal(connection)
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        with immediate(connection):
            if current_revision(connection) != HEAD:
                command.upgrade(config, "head")
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")


def _use_wal(connection: Connection) -> None:
    """WAL is kept in the file. Processes that open a new file at once race for it, and the busy timeout doesn't cover
    this change of mode: whoever loses asks again, and finds it done."""
    raw = driver_connection(connection)
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            raw.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _is_known(revision: str) -> bool:
    return any(script.revision == revision for script in _scripts().walk_revisions())


def _mismatch(connection: Connection, revision: str) -> SchemaOutdated | SchemaTooNew:
    name = _name(connection)
    if _is_known(revision):
        return SchemaOutdated(f"{name}: schema {revision} is older than {HEAD}; run: catalogdb db upgrade --db {name}")
    return SchemaTooNew(f"{name}: schema {revision} is unknown to this version ({HEAD}); upgrade catalogdb")


def _name(connection: Connection) -> str:
    return str(database_path(connection.engine.url) or "catalog in memory")
