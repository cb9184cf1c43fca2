"""The questions that the catalog asks of its file. It never writes."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import count
from typing import Any, TypeVar, overload

from catalogdb.errors import DatabaseError, QueryError
from catalogdb.records import Checkpoint
from catalogdb.store.engine import ReadingConnection
from catalogdb.store.functions import anything, only_reading
from catalogdb.store.memory import Memory
from catalogdb.store.rows import load
from catalogdb.store.status import CatalogStatus, read_status

T = TypeVar("T")
_Way = tuple[str, Sequence[Any]]
"""A statement and its values."""
BATCH = 500
FETCHED = 100
"""Rows of a user's own statement that are read at once."""
METRIC_ID = "SELECT id FROM metric_names WHERE name = ?"
PROGRESS_STEPS = 1_000
"""How many of SQLite's instructions run between two looks at a limit: well under a millisecond, if nothing is read
from disk."""
FIRST_STEPS = 20_000
"""Instructions that the first of several ways has before the next one is tried: some hundreds of rows, half a
millisecond where their pages are at hand. Counted, not timed: on a busy machine, or where pages must be fetched, a good
way would be given up for a bad one, which fetches more of them."""
SECOND_ROUND = 8
"""How many times as many each of them has in the second round."""
THIRD_ROUND_SECONDS = 0.5
"""How long each of them has in the third; four times as long in each that follows. Timed, since instructions that fetch
rows from here and there take ten times as long as those that read them as they lie."""


class OutOfTime(Exception):
    """A question took longer than it was given."""


class _Stopped(Exception):
    """A statement reached its limit."""


class SqlResult:
    """Columns and rows of a user's own query. The rows come as they are read, once, and end at ``limit``.

    ``cut`` says, when they have ended, that the query has more of them.
    """

    def __init__(
        self, columns: tuple[str, ...], rows: Generator[tuple[Any, ...], None, None], *, limit: int | None = None
    ) -> None:
        self.columns = columns
        self.limit = limit
        self.cut = False
        self.rows = self._limited(rows)

    def _limited(self, rows: Generator[tuple[Any, ...], None, None]) -> Generator[tuple[Any, ...], None, None]:
        with closing(rows):
            for place, row in enumerate(rows):
                if place == self.limit:
                    self.cut = True
                    return
                yield row


class _Allowance:
    """The time that SQLite may take for a statement; what its reader takes between two rows doesn't count."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.left = math.inf if seconds is None else seconds


class _Stop:
    """Has SQLite stop after so many instructions, or at a moment; ``reached`` says that it was for this."""

    def __init__(self, *, steps: float = math.inf, deadline: float = math.inf) -> None:
        self._looks = steps / PROGRESS_STEPS
        self._deadline = deadline
        self.never = steps == deadline == math.inf
        self.reached = False

    def __call__(self) -> bool:
        self._looks -= 1
        self.reached = self._looks < 0 or time.monotonic() > self._deadline
        return self.reached


def _turns(ways: Sequence[_Way], deadline: float) -> Iterator[tuple[_Way, _Stop]]:
    """Statements with where they stop, without end; one alone has all the time until ``deadline``."""
    if len(ways) == 1:
        yield ways[0], _Stop(deadline=deadline)
    for steps in (FIRST_STEPS, FIRST_STEPS * SECOND_ROUND):
        yield from ((way, _Stop(steps=steps, deadline=deadline)) for way in ways)
    for times in count():
        for way in reversed(ways):
            yield way, _Stop(deadline=min(deadline, time.monotonic() + THIRD_ROUND_SECONDS * 4**times))


class MetricIds(Mapping[str, int]):
    """The metrics' names with their ids, in the order of the names."""

    def __init__(self, raw: sqlite3.Connection, memory: Memory) -> None:
        self._raw = raw
        self._known = memory.of("metric ids")

    def __getitem__(self, name: str) -> int:
        found: int | None = self._known.get(name)
        if found is None:
            with suppress(UnicodeEncodeError):  # a name that SQLite couldn't hold is none of its own
                found = next((row[0] for row in self._raw.execute(METRIC_ID, (name,))), None)
            if found is None:
                raise KeyError(name)
            self._known[name] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return (row[0] for row in self._raw.execute("SELECT name FROM metric_names ORDER BY name").fetchall())

    def __len__(self) -> int:
        return int(self._raw.execute("SELECT count(*) FROM metric_names").fetchone()[0])


class Reader:
    """Reads one catalog through one connection, from one thread."""

    def __init__(self, raw: ReadingConnection) -> None:
        self._raw = raw
        self._regex = raw.regex
        self.memory = raw.memory
        self.memory.begin(raw)

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

    def race(self, ways: Sequence[_Way], *, seconds: float | None = None) -> list[tuple[Any, ...]]:
        """The rows of a question that several statements answer alike: those of the one that ends first.

        Each may read a few rows in turn; then far more, since the first is likely the quickest of the rest; then each
        has the same time, the last of them first, since it's now likely the others that don't end. So the answer takes
        a small multiple of what the best of them takes, and nobody has to know which that is. Raises OutOfTime beyond
        ``seconds``.
        """
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        turns = _turns(ways, deadline)
        with self._matching():
            while True:
                (sql, parameters), stop = next(turns)
                with suppress(_Stopped), self._stopping(stop):
                    return self._raw.execute(sql, parameters).fetchall()
                if time.monotonic() > deadline:
                    raise OutOfTime

    def ids(self, ways: Sequence[_Way]) -> list[int]:
        """The first column of what compiled statements with one answer find."""
        return [row[0] for row in self.race(ways)]

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a compiled statement."""
        with self._matching():
            return list(self._raw.execute(sql, parameters))

    @overload
    def count(self, ways: Sequence[_Way]) -> int: ...

    @overload
    def count(self, ways: Sequence[_Way], *, seconds: float | None) -> int | None: ...

    def count(self, ways: Sequence[_Way], *, seconds: float | None = None) -> int | None:
        """The number that compiled statements count; None where it would take longer than ``seconds``."""
        try:
            return int(self.race(ways, seconds=seconds)[0][0])
        except OutOfTime:
            return None

    def load(self, ids: Sequence[int]) -> list[Checkpoint]:
        """Whole checkpoints in the order of ``ids``; ids that are gone are left out."""
        found: list[Checkpoint] = []
        with self.snapshot():
            for start in range(0, len(ids), BATCH):
                some = ids[start : start + BATCH]
                found.extend(load(self._raw, some, self.memory))
        return found

    def find_id_by_path(self, path: str) -> int | None:
        """The row of an absolute path, missing ones too."""
        return find_id_by_path(self._raw, path)

    def find_id_by_alias(self, alias: str) -> int | None:
        return self._first("SELECT checkpoint_id FROM aliases WHERE name = ?", alias)

    def metric_ids(self) -> Mapping[str, int]:
        """Metric name → id, looked up when asked: a catalog may know thousands."""
        return MetricIds(self._raw, self.memory)

    def recorded_modes(self, metric: str) -> set[str]:
        """The modes that training recorded with a metric it monitored."""
        one = "SELECT monitor_mode FROM checkpoints WHERE monitor = ? AND monitor_mode = ? LIMIT 1"

        def read() -> set[str]:
            return {row[0] for mode in ("min", "max") for row in self._raw.execute(one, (metric, mode))}

        found: set[str] = self.memory.get("modes", metric, read)
        return found

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
        limit: int | None = None,
    ) -> SqlResult:
        """Columns and rows of a user's own statement, which may read and nothing else.

        The rows must be read, or the iterator closed, before this reader is used again. Raises QueryError for a
        statement that SQLite can't read or that would do more than read, DatabaseError beyond ``seconds``.
        """
        rows = self._guarded(sql, parameters, _Allowance(seconds))
        return SqlResult(next(rows), rows, limit=limit)

    def _guarded(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any], allowance: _Allowance
    ) -> Generator[tuple[Any, ...], None, None]:
        """The column names, then the rows."""
        self._raw.set_authorizer(only_reading)
        try:
            with self._matching():
                cursor = self._within(allowance, lambda: self._raw.execute(sql, parameters))
                if cursor.description is None:
                    raise QueryError("nothing to read: write a SELECT", text=sql)
                yield tuple(column[0] for column in cursor.description)
                while some := self._within(allowance, lambda: cursor.fetchmany(FETCHED)):
                    yield from some
        except (sqlite3.DatabaseError, sqlite3.Warning, OverflowError) as error:
            denied = "not authorized" in str(error) or "prohibited" in str(error)
            raise QueryError(f"only reading is allowed here ({error})" if denied else str(error)) from error
        finally:
            with suppress(sqlite3.ProgrammingError):  # closed meanwhile, by a reader that left before the last row
                self._raw.set_authorizer(anything)

    def _within(self, allowance: _Allowance, act: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            with self._stopping(_Stop(deadline=began + allowance.left)):
                return act()
        except _Stopped as stopped:
            raise DatabaseError(f"the query took longer than {allowance.seconds:g} s and was stopped") from stopped
        finally:
            allowance.left -= time.monotonic() - began

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
    def _stopping(self, stop: _Stop) -> Iterator[None]:
        """Raises _Stopped where ``stop`` was reached."""
        if stop.never:
            yield
            return
        self._raw.set_progress_handler(stop, PROGRESS_STEPS)
        try:
            yield
        except sqlite3.OperationalError as error:
            if str(error) != "interrupted":
                raise
            if stop.reached:
                raise _Stopped from error
            raise KeyboardInterrupt from error  # raised at a look at the limit, where SQLite eats it
        finally:
            self._raw.set_progress_handler(None, 0)

    def _first(self, sql: str, *values: Any) -> int | None:
        return _first(self._raw, sql, *values)


def find_id_by_path(raw: sqlite3.Connection, path: str) -> int | None:
    """The row of an absolute path, missing ones too. Any connection will do, a writing one as well."""
    for root_id, root in raw.execute("SELECT id, path FROM roots").fetchall():
        prefix = root.rstrip("/") + "/"
        if path == root or path.startswith(prefix):
            rel_path = path[len(prefix) :] or "."
            return _first(raw, "SELECT id FROM checkpoints WHERE root_id = ? AND rel_path = ?", root_id, rel_path)
    return None


def _first(raw: sqlite3.Connection, sql: str, *values: Any) -> int | None:
    try:
        row = raw.execute(sql, values).fetchone()
    except (UnicodeEncodeError, OverflowError):  # nothing that SQLite could hold
        return None
    return None if row is None else int(row[0])
