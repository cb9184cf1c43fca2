"""One catalog's file: opened once, read through snapshots, written through ledgers."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, Engine

from catalogdb.errors import CatalogError, DatabaseError, NetworkFilesystemWarning
from catalogdb.mounts import mount_of
from catalogdb.records import Facts, RevisionReport, UpgradeReport
from catalogdb.store import migrate
from catalogdb.store.engine import (
    IS_FOLDER,
    database_path,
    failures_of,
    make_engine,
    make_reading_engine,
    may_write,
    parse_url,
    read_only,
    read_only_snapshot,
    snapshot,
)
from catalogdb.store.facts import FactsBook, read_facts
from catalogdb.store.forget import forget_root
from catalogdb.store.ledger import Ledger
from catalogdb.store.reader import Reader, SqlResult
from catalogdb.store.run_cache import RunCache
from catalogdb.store.status import CatalogStatus
from catalogdb.store.watchers import Lease

QUERY_SECONDS = 60.0
"""How long SQLite may take for a user's own query."""
QUERY_ROWS = 100_000
"""How many rows a user's own query may give."""


class Store:
    """The engines of one catalog, and what can be done with its file as a whole."""

    def __init__(
        self, url: str, engine: Engine, reading: Engine, *, may_write: bool = True, folder: ExitStack | None = None
    ) -> None:
        self.url = url
        self._writing_engine = engine
        self._reading_engine = reading
        self._may_write = may_write
        self._path = database_path(engine.url)
        self._folder = folder or ExitStack()
        self._closed = False

    @classmethod
    def open(cls, url: str) -> Store:
        """Opens a catalog, or makes a new one at head. Raises SchemaOutdated, SchemaTooNew or DatabaseError.

        One that may be read but not written is opened for asking alone. One without a name is a temporary file until
        it's closed: SQLite's databases in memory have one connection for all who read and write.
        """
        parsed = parse_url(url)
        with ExitStack() as stack:
            path = database_path(parsed)
            if path is None:
                path = Path(stack.enter_context(TemporaryDirectory(prefix="catalogdb-"))) / "catalog.db"
                parsed = parsed.set(database=str(path))
            if not may_write(path):
                reading = make_reading_engine(read_only(parsed))
                stack.callback(reading.dispose)  # the connection that this look is made with
                migrate.check_schema(reading)
                return cls(url, reading, reading, may_write=False)
            make_folder(path)
            engine = make_engine(parsed)
            migrate.open_schema(engine)
            return cls(url, engine, make_reading_engine(parsed), folder=stack.pop_all())

    def close(self) -> None:
        """May be called again. Whatever is asked afterwards raises CatalogError."""
        self._closed = True
        self._reading_engine.dispose()
        self._writing_engine.dispose()
        self._folder.close()

    @property
    def _engine(self) -> Engine:
        self._check_open()
        return self._writing_engine

    @property
    def _reading(self) -> Engine:
        self._check_open()
        return self._reading_engine

    def _check_open(self) -> None:
        """An engine that was disposed of would open its file again."""
        if self._closed:
            raise CatalogError("this catalog is closed")

    def ledger(self) -> Ledger:
        """The writing side; close it when done."""
        return Ledger(self._engine)

    def facts_book(self) -> FactsBook:
        """The writing side of the user's own facts; close it when done."""
        return FactsBook(self._engine)

    def facts(self) -> list[Facts]:
        with snapshot(self._reading) as connection:
            return read_facts(connection)

    def keep_fingerprints(self, known: Sequence[tuple[int, str]]) -> None:
        """Fingerprints of weights that were computed, by checkpoint; a catalog that may only be read keeps none."""
        if known and self._may_write:
            with self.ledger() as ledger:
                ledger.keep_fingerprints(known)

    def forget_root(self, spellings: Sequence[str], *, with_facts: bool) -> int:
        return forget_root(self._engine, spellings, with_facts=with_facts)

    def lease(self, roots: Sequence[str]) -> Lease:
        return Lease(self._engine, roots)

    def run_cache(self) -> RunCache:
        return RunCache(self._engine)

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """The reading side, on one state of the catalog."""
        with snapshot(self._reading) as connection:
            yield Reader(connection)

    def status(self) -> CatalogStatus:
        with self.reader() as reader:
            return reader.status()

    def sql(self, query: str, parameters: Mapping[str, object]) -> SqlResult:
        """A user's own query, to a file that can't be written so. Its rows come as they are read, of one state."""
        with ExitStack() as stack:
            reader = stack.enter_context(self.reader())
            if self._path is not None and self._may_write:
                reader = Reader(stack.enter_context(read_only_snapshot(self._path)))
            result = reader.execute_readonly(query, dict(parameters), seconds=QUERY_SECONDS)
            return SqlResult(result.columns, _rows(result.rows, stack.pop_all()), limit=QUERY_ROWS)

    def backup(self, destination: Path) -> Path:
        with failures_of(destination), self._reading.connect() as connection:
            return migrate.backup(connection, destination)

    def check(self) -> list[str]:
        with failures_of(self._path), self._reading.connect() as connection:
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
            broken = [f"{row[0]}: row {row[1]} points to a missing {row[2]}" for row in _broken_keys(connection)]
        return [line for line in found if line != "ok"] + broken

    @staticmethod
    def upgrade(url: str) -> UpgradeReport:
        with _existing(url) as engine:
            return migrate.upgrade(engine)

    @staticmethod
    def revision(url: str) -> RevisionReport:
        with _existing(url) as engine, failures_of(database_path(engine.url)), engine.connect() as connection:
            return RevisionReport(migrate.current_revision(connection), migrate.HEAD)


def _rows(rows: Generator[tuple[Any, ...], None, None], opened: ExitStack) -> Generator[tuple[Any, ...], None, None]:
    with opened, closing(rows):
        yield from rows


def make_folder(path: Path) -> None:
    """The catalog's folder, made where it's missing. Warns of a filesystem where SQLite's locks may not hold."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(f"{path.parent}: can't be made: {error.strerror}") from error
    mount = mount_of(str(path.parent.resolve()))
    if mount is not None and mount.is_remote:
        warnings.warn(
            f"{path} lies on {mount.kind}, where SQLite's locks may not hold; keep the catalog on a local disk (--db)",
            NetworkFilesystemWarning,
            stacklevel=4,
        )


@contextmanager
def _existing(url: str) -> Iterator[Engine]:
    parsed = parse_url(url)
    path = database_path(parsed)
    if path is not None and path.is_dir():
        raise DatabaseError(f"{path}: {IS_FOLDER}")
    if path is None or not path.is_file():
        raise DatabaseError(f"{path or url}: no such catalog; make it with: catalogdb scan ROOT")
    engine = make_engine(parsed) if may_write(path) else make_reading_engine(read_only(parsed))
    try:
        yield engine
    finally:
        engine.dispose()


def _broken_keys(connection: Connection) -> list[tuple[str, int, str]]:
    return [(row[0], row[1], row[2]) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")]
