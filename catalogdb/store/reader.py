"""The questions that the catalog asks of its file. It never writes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, overload

from sqlalchemy import Connection

from catalogdb.errors import DatabaseError, QueryError
from catalogdb.records import Checkpoint
from catalogdb.store.functions import anything, lower_text, only_reading, param_text
from catalogdb.store.regex import Regex
from catalogdb.store.rows import Batch
from catalogdb.store.status import CatalogStatus, RootStatus, WatcherStatus, read_status

__all__ = ["CatalogStatus", "Reader", "RootStatus", "SqlResult", "WatcherStatus"]

BATCH = 500
PROGRESS_STEPS = 20_000
"""How many of SQLite's instructions run between two looks at the clock: well under a millisecond."""


@dataclass(frozen=True, slots=True)
class SqlResult:
    """Columns and rows of a user's own query. The rows come as they are read, once."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


class Reader:
    """Reads one catalog through one connection, from one thread."""

    def __init__(self, connection: Connection | sqlite3.Connection) -> None:
        raw = connection if isinstance(connection, sqlite3.Connection) else connection.connection.driver_connection
        if not isinstance(raw, sqlite3.Connection):
            raise TypeError("catalogs are SQLite files")
        self._connection = connection  # keeps the raw one checked out
        self._raw = raw
        self._regex = Regex()
        raw.create_function("regexp", 2, self._regex, deterministic=True)
        raw.create_function("lower_text", 1, lower_text, deterministic=True)
        raw.create_function("param_text", 2, param_text, deterministic=True)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment, whatever others write meanwhile."""
        if self._raw.in_transaction:
            yield
            return
        self._raw.execute("BEGIN")
        try:
            yield
        finally:
            self._raw.execute("COMMIT")

    def ids(self, sql: str, parameters: Sequence[Any] = ()) -> list[int]:
        """The first column of a compiled statement."""
        with self._matching():
            return [row[0] for row in self._raw.execute(sql, parameters)]

    @overload
    def count(self, sql: str, parameters: Sequence[Any] = ()) -> int: ...

    @overload
    def count(self, sql: str, parameters: Sequence[Any] = (), *, seconds: float | None) -> int | None: ...

    def count(self, sql: str, parameters: Sequence[Any] = (), *, seconds: float | None = None) -> int | None:
        """The number that a compiled statement counts; None where it would take longer than ``seconds``."""
        deadline = time.monotonic() + seconds if seconds is not None else None
        try:
            with self._matching(), self._until(deadline):
                return int(self._raw.execute(sql, parameters).fetchone()[0])
        except sqlite3.OperationalError as error:
            if deadline is not None and str(error) == "interrupted":
                return None
            raise

    def load(self, ids: Sequence[int]) -> list[Checkpoint]:
        """Whole checkpoints in the order of ``ids``; ids that are gone are left out."""
        found: list[Checkpoint] = []
        with self.snapshot():
            for start in range(0, len(ids), BATCH):
                found.extend(self._load(ids[start : start + BATCH]))
        return found

    def find_id_by_path(self, path: str) -> int | None:
        """The row of an absolute path, missing ones too."""
        for root_id, root in self._raw.execute("SELECT id, path FROM roots"):
            prefix = root.rstrip("/") + "/"
            if path == root or path.startswith(prefix):
                rel_path = path[len(prefix) :] or "."
                return self._first("SELECT id FROM checkpoints WHERE root_id = ? AND rel_path = ?", root_id, rel_path)
        return None

    def find_id_by_alias(self, alias: str) -> int | None:
        return self._first("SELECT checkpoint_id FROM aliases WHERE name = ?", alias)

    def find_id(self, checkpoint_id: int) -> int | None:
        """The id itself, where there is such a row."""
        return self._first("SELECT id FROM checkpoints WHERE id = ?", checkpoint_id)

    def metric_ids(self) -> dict[str, int]:
        return dict(self._raw.execute("SELECT name, id FROM metric_names ORDER BY name"))

    def recorded_modes(self, metric: str) -> set[str]:
        """The modes that training recorded with a metric it monitored."""
        one = "SELECT ?2 WHERE EXISTS (SELECT 1 FROM checkpoints WHERE monitor = ?1 AND monitor_mode = ?2)"
        return {row[0] for mode in ("min", "max") for row in self._raw.execute(one, (metric, mode))}

    def status(self, *, problems: int = 20) -> CatalogStatus:
        """Roots, counts, watchers, the run cache, and the latest problems."""
        with self.snapshot():
            return read_status(self._raw, problems=problems)

    def execute_readonly(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        seconds: float | None = None,
    ) -> SqlResult:
        """Columns and rows of a user's own statement, which may read and nothing else.

        The rows must be read, or the iterator closed, before this reader is used again. Raises QueryError for a
        statement that SQLite can't read or that would do more than read, DatabaseError beyond ``seconds``.
        """
        deadline = time.monotonic() + seconds if seconds is not None else None
        rows = self._guarded(sql, parameters, deadline)
        return SqlResult(next(rows), rows)

    def _guarded(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any], deadline: float | None
    ) -> Iterator[tuple[Any, ...]]:
        """The column names, then the rows."""
        self._raw.set_authorizer(only_reading)
        try:
            with self._matching(), self._until(deadline):
                cursor = self._raw.execute(sql, parameters)
                if cursor.description is None:
                    raise QueryError("nothing to read: write a SELECT", text=sql)
                yield tuple(column[0] for column in cursor.description)
                yield from cursor
        except sqlite3.OperationalError as error:
            if str(error) == "interrupted":
                if deadline is None or time.monotonic() < deadline:
                    raise KeyboardInterrupt from error  # raised while the clock was looked at, where SQLite eats it
                raise DatabaseError("the query took too long and was stopped") from error
            raise QueryError(str(error)) from error
        except (sqlite3.DatabaseError, sqlite3.Warning, OverflowError) as error:
            denied = "not authorized" in str(error) or "prohibited" in str(error)
            raise QueryError(f"only reading is allowed here ({error})" if denied else str(error)) from error
        finally:
            self._raw.set_authorizer(anything)

    @contextmanager
    def _matching(self) -> Iterator[None]:
        """Time for regular expressions begins anew; what they raised inside SQLite comes out as it was."""
        self._regex.restart()
        try:
            yield
        except sqlite3.OperationalError as error:
            if self._regex.error is not None:
                raise self._regex.error from error
            raise

    @contextmanager
    def _until(self, deadline: float | None) -> Iterator[None]:
        if deadline is None:
            yield
            return
        self._raw.set_progress_handler(lambda: int(time.monotonic() > deadline), PROGRESS_STEPS)
        try:
            yield
        finally:
            self._raw.set_progress_handler(None, 0)

    def _first(self, sql: str, *values: Any) -> int | None:
        try:
            row = self._raw.execute(sql, values).fetchone()
        except (UnicodeEncodeError, OverflowError):  # nothing that SQLite could hold
            return None
        return None if row is None else int(row[0])

    def _load(self, ids: Sequence[int]) -> Iterator[Checkpoint]:
        batch = Batch(self._raw, ids)
        return (batch.checkpoint(row) for checkpoint_id in ids if (row := batch.rows.get(checkpoint_id)) is not None)
