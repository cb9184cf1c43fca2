"""Connections to a catalog's file: one writer, many readers, plain failures as one line."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from catalogdb.errors import CatalogError, DatabaseError, UsageError
from catalogdb.run_folders import run_folder
from catalogdb.store.functions import lower_text, param_text
from catalogdb.store.memory import Memory
from catalogdb.store.regex import Regex

T = TypeVar("T")

BUSY_TIMEOUT_MS = 30_000

OLDEST_SQLITE = (3, 35)
"""Of March 2021: the first with RETURNING, and with ON CONFLICT that names no columns."""

IS_FOLDER = "is a folder; give the file that holds the catalog"


class ReadingConnection(sqlite3.Connection):
    """A reader's connection, with what queries call and what it remembers between two of them.

    Functions are made once for each connection: to make one again has SQLite prepare every statement anew.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.memory = Memory(keeps=False)
        self.regex = Regex()
        self.create_function("regexp", 2, self.regex, deterministic=True)
        self.create_function("lower_text", 1, lower_text, deterministic=True)
        self.create_function("param_text", 2, param_text, deterministic=True)
        self.create_function("run_folder", 2, run_folder, deterministic=True)


def parse_url(url: str) -> URL:
    """A SQLite URL, or UsageError."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(f"{url}: not a database URL; write sqlite:///path/to/catalog.db") from error
    if parsed.get_backend_name() != "sqlite":
        raise UsageError(f"{url}: catalogs are SQLite files; write sqlite:///path/to/catalog.db")
    return parsed


def database_path(url: URL) -> Path | None:
    """The catalog's file; None for one in memory."""
    if not url.database or url.database == ":memory:":
        return None
    return Path(unquote(url.database.removeprefix("file:")) if "uri" in url.query else url.database)


def make_engine(url: URL) -> Engine:
    """The writer's engine. Transactions begin where the code says so, and with a lock."""
    _check_library()
    engine = create_engine(url, poolclass=NullPool, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -32768")
        connection.execute("PRAGMA wal_autocheckpoint = 8192")

    return engine


def make_reading_engine(url: URL) -> Engine:
    """The readers' engine: connections that are kept open, and can't write."""
    _check_library()
    engine = create_engine(
        url,
        poolclass=QueuePool,
        max_overflow=-1,
        pool_reset_on_return=None,
        connect_args={"check_same_thread": False, "factory": ReadingConnection},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: ReadingConnection, _record: Any) -> None:
        connection.isolation_level = None
        connection.memory = Memory(keeps=True)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -32768")

    return engine


def _check_library() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise DatabaseError(
            f"{sys.executable}: its SQLite library is {sqlite3.sqlite_version}, a catalog needs {oldest} or newer; "
            "use a Python that has one, from conda or uv, say"
        )


def driver_connection(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection below SQLAlchemy's."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, sqlite3.Connection):
        raise TypeError("catalogs are SQLite files")
    return raw


def read_only(url: URL) -> URL:
    """The same file, for who may read it but not write beside it.

    Readers of a WAL file make its index beside it; where they may not, SQLite is told that nobody else writes either.
    """
    path = database_path(url)
    if path is None:
        return url
    query = {"mode": "ro", "uri": "true", **({} if _has_wal(path) else {"immutable": "1"})}
    return url.set(database=f"file:{quote(str(path.absolute()))}", query=query)


def may_write(path: Path) -> bool:
    """Whether a file that is there may be written, and files beside it made. True for one that isn't there yet."""
    return not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


@contextmanager
def read_only_snapshot(path: Path) -> Iterator[ReadingConnection]:
    """A connection of its own to a file of which another connection is open: SQLite itself opens it for reading alone.

    What may only read can't clear away the WAL's index when it goes; the other connection does.
    """
    with failures_of(path), closing(_connect_read_only(path)) as raw:
        raw.execute("BEGIN")
        yield raw


def _connect_read_only(path: Path) -> ReadingConnection:
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    raw = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, factory=ReadingConnection)
    raw.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    raw.execute("PRAGMA query_only = ON")
    return raw


def _has_wal(path: Path) -> bool:
    return path.with_name(f"{path.name}-wal").exists()


@contextmanager
def snapshot(engine: Engine) -> Iterator[ReadingConnection]:
    """A connection that sees one state of the catalog, however much is written meanwhile."""
    with failures_of(database_path(engine.url)):
        pool, pooled = engine.pool, engine.raw_connection()
        try:
            raw = pooled.driver_connection
            if not isinstance(raw, ReadingConnection):
                raise TypeError("not an engine for reading")
            own = not raw.in_transaction
            if own:
                raw.execute("BEGIN")
            try:
                yield raw
            finally:
                if own:
                    raw.execute("ROLLBACK")
        finally:
            if engine.pool is pool:
                pooled.close()
            else:  # disposed of meanwhile: nobody would close what is given back
                pooled.invalidate()


@contextmanager
def failures_of(path: str | Path | None) -> Iterator[None]:
    """Turns SQLite's failures into a DatabaseError of one line that names the file."""
    try:
        yield
    except CatalogError:
        raise
    except UnicodeEncodeError as error:
        raise UsageError(f"{error.object!a}: is no valid Unicode, and nothing in a catalog is called so") from error
    except (DBAPIError, sqlite3.Error) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error)
        is_folder = path is not None and Path(path).is_dir()
        explained = IS_FOLDER if is_folder else _explain(reason)
        raise DatabaseError(f"{path or 'catalog in memory'}: {explained}") from error


def _explain(reason: str) -> str:
    advice = {
        "unable to open database file": "can't be opened: check that its folder exists and may be written",
        "file is not a database": "is not a catalog: it isn't a SQLite file",
        "attempt to write a readonly database": "may not be written: check its permissions and its folder's",
        "database or disk is full": "the disk is full; what was committed before is kept",
        "disk I/O error": "the disk reported an I/O error; what was committed before is kept",
        "database is locked": "another process held it for too long; try again when it has finished",
        "database disk image is malformed": "is damaged; restore a backup, or scan into a new file",
    }
    return advice.get(reason, reason)


@contextmanager
def immediate(connection: Connection) -> Iterator[Connection]:
    """One writing transaction: it takes the lock at once, and commits or leaves nothing."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        if driver_connection(connection).in_transaction:
            connection.exec_driver_sql("ROLLBACK")
        connection.rollback()
        raise
    connection.exec_driver_sql("COMMIT")
    connection.commit()


@contextmanager
def unchecked(connection: Connection) -> Iterator[None]:
    """Foreign keys aren't looked up, around a transaction that makes or finds all it refers to itself.

    Looking each of them up again took a quarter of the time of a batch. Nothing cascades meanwhile.
    """
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        driver_connection(connection).execute("PRAGMA foreign_keys = ON")


def chunks(values: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Values of one statement's placeholders at a time."""
    return (values[start : start + size] for start in range(0, len(values), size))
