"""W&B runs with the history rows that checkpoints need, kept in the catalog: nothing is asked twice.

Each call is a transaction of its own, so that what was fetched is kept whatever becomes of the scan, and every other
process sees it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine

from catalogdb.records import OF_FOLDER, CachedRun, HistoryNeed, HistoryRow, RunFile, RunKey, RunUse, Stamp
from catalogdb.store.engine import database_path, failures_of, immediate

_KEY = "base_url = ? AND entity = ? AND project = ? AND run_id = ?"
_MARK = "(SELECT value FROM json_each(?))"
_COLUMNS = (
    "base_url, entity, project, run_id, found, forbidden, state, config, summary, attributes, fetched_at, expires_at"
)
_PUT = (
    f"INSERT INTO wandb_runs ({_COLUMNS}) VALUES ({', '.join('?' * 12)}) "
    "ON CONFLICT (base_url, entity, project, run_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[4:])
)
_ID = f"SELECT id FROM wandb_runs WHERE {_KEY}"
_PUT_HISTORY = f"INSERT OR REPLACE INTO wandb_history (wandb_run_id, key, at, rows) VALUES (({_ID}), ?, ?, ?)"
_PUT_FILE = (
    "INSERT OR REPLACE INTO wandb_files (path, size_bytes, mtime_ns, inode, device, read_to, content) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_SERVER = f"CASE WHEN substr(base_url, 1, {len(OF_FOLDER)}) = '{OF_FOLDER}' THEN '' ELSE base_url END"
_STATUS = (
    f"SELECT {_SERVER} AS server, entity, project, count(*), sum(found), sum(1 - found), "
    "sum(expires_at IS NOT NULL AND expires_at <= ?), "
    "min(fetched_at), max(fetched_at), "
    "sum(length(coalesce(config, '')) + length(coalesce(summary, '')) + length(coalesce(attributes, '')) + "
    "coalesce((SELECT sum(length(rows)) FROM wandb_history h WHERE h.wandb_run_id = r.id), 0)) "
    "FROM wandb_runs r GROUP BY server, entity, project ORDER BY server, entity, project"
)


class RunCache:
    """Reads and writes runs. Connections are opened for each call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._path = database_path(engine.url)

    def find(self, run_ids: Collection[str]) -> list[CachedRun]:
        """All runs of these ids, whosever they are and however old; those from a server before local ones."""
        with self._reading() as connection:
            text = json.dumps(sorted(run_ids))
            rows = connection.exec_driver_sql(
                f"SELECT id, {_COLUMNS} FROM wandb_runs WHERE run_id IN {_MARK} ORDER BY base_url DESC, id", (text,)
            ).fetchall()
            history: dict[int, dict[HistoryNeed, tuple[HistoryRow, ...]]] = {}
            for row_id, key, at, answer in connection.exec_driver_sql(
                f"SELECT wandb_run_id, key, at, rows FROM wandb_history WHERE wandb_run_id IN {_MARK}",
                (json.dumps([row[0] for row in rows]),),
            ):
                history.setdefault(row_id, {})[HistoryNeed(key, at)] = tuple(
                    HistoryRow(*item) for item in json.loads(answer)
                )
            return [_run(row, history.get(row[0], {})) for row in rows]

    def put(self, runs: Sequence[CachedRun], *, forget_history: bool = False) -> None:
        """Keeps runs, in place of what was known of them; history rows are added to those that were asked before."""
        if not runs:
            return
        keys = [tuple(run.key) for run in runs]
        history = [(*run.key, *need, _json(rows)) for run in runs for need, rows in run.history.items()]
        with self._writing() as connection:
            execute = connection.exec_driver_sql
            execute(_PUT, [_values(run) for run in runs])
            if forget_history:
                execute(f"DELETE FROM wandb_history WHERE wandb_run_id = ({_ID})", keys)
            if history:
                execute(_PUT_HISTORY, history)
            execute(f"DELETE FROM wandb_claims WHERE {_KEY}", keys)

    def find_file(self, path: str) -> RunFile | None:
        with self._reading() as connection:
            row = connection.exec_driver_sql(
                "SELECT size_bytes, mtime_ns, inode, device, read_to, content FROM wandb_files WHERE path = ?", (path,)
            ).fetchone()
            return None if row is None else RunFile(path, Stamp(*row[:4]), row[4], json.loads(row[5]))

    def put_files(self, files: Sequence[RunFile]) -> None:
        if files:
            rows = [(file.path, *file.stamp, file.read_to, json.dumps(dict(file.content))) for file in files]
            with self._writing() as connection:
                connection.exec_driver_sql(_PUT_FILE, rows)

    def claim(self, keys: Sequence[RunKey], *, seconds: float) -> set[RunKey]:
        """Those of ``keys`` that nobody else is asking for; they are this caller's for so long."""
        now = time.time()
        with self._writing() as connection:
            execute = connection.exec_driver_sql
            execute("DELETE FROM wandb_claims WHERE until <= ?", (now,))
            free = set()
            for key in keys:
                taken = execute(
                    "INSERT OR IGNORE INTO wandb_claims (base_url, entity, project, run_id, until) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (*key, now + seconds),
                )
                if taken.rowcount:
                    free.add(key)
            return free

    def release(self, keys: Collection[RunKey]) -> None:
        if keys:
            with self._writing() as connection:
                connection.exec_driver_sql(f"DELETE FROM wandb_claims WHERE {_KEY}", [tuple(key) for key in keys])

    def count(self, used: Mapping[tuple[str, str, str], tuple[int, int]]) -> None:
        """Adds hits and misses by (base_url, entity, project)."""
        if used:
            with self._writing() as connection:
                connection.exec_driver_sql(
                    "INSERT INTO wandb_use (base_url, entity, project, hits, misses) VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT (base_url, entity, project) DO UPDATE SET "
                    "hits = hits + excluded.hits, misses = misses + excluded.misses",
                    [(*key, *counts) for key, counts in used.items()],
                )

    def use(self, *, now: str) -> list[RunUse]:
        """What is cached, by server and project; ``now`` is an ISO time in UTC."""
        with self._reading() as connection:
            used = {
                tuple(row[:3]): (row[3], row[4])
                for row in connection.exec_driver_sql("SELECT base_url, entity, project, hits, misses FROM wandb_use")
            }
            rows = {tuple(row[:3]): row[3:] for row in connection.exec_driver_sql(_STATUS, (now,))}
            return [
                RunUse(*[*key, *rows.get(key, (0, 0, 0, 0, None, None, 0)), *used.get(key, (0, 0))])
                for key in sorted(rows.keys() | used.keys())
            ]

    def keys(self, *, project: str | None = None, run: str | None = None) -> list[RunKey]:
        """The cached runs of a project (``PROJECT`` or ``ENTITY/PROJECT``), or of a run's id or path; else all."""
        where, values = _chosen(project, run)
        with self._reading() as connection:
            rows = connection.exec_driver_sql(
                f"SELECT base_url, entity, project, run_id FROM wandb_runs WHERE {where} ORDER BY id", values
            )
            return [RunKey(*row) for row in rows]

    def clear(self, *, project: str | None = None, run: str | None = None) -> int:
        """Forgets runs, and how far local files were read; returns how many runs."""
        where, values = _chosen(project, run)
        with self._writing() as connection:
            execute = connection.exec_driver_sql
            gone = execute(f"DELETE FROM wandb_runs WHERE {where}", values).rowcount
            execute("DELETE FROM wandb_files")
            if project is None and run is None:
                execute("DELETE FROM wandb_use")
                execute("DELETE FROM wandb_claims")
            return gone

    def recheck(self, *, project: str | None = None, run: str | None = None) -> list[str]:
        """Marks the checkpoints of runs for another look at the next scan; returns the roots they lie in.

        Without either, all checkpoints that name a run.
        """
        with self._writing() as connection:
            execute = connection.exec_driver_sql
            named = execute(
                "SELECT c.id, c.wandb_run_id, r.path FROM checkpoints c JOIN roots r ON r.id = c.root_id "
                "WHERE c.wandb_run_id IS NOT NULL AND c.state <> 'missing'"
            ).fetchall()
            where, values = _chosen(project, run)
            cached = execute(f"SELECT entity, project, run_id FROM wandb_runs WHERE {where}", values).fetchall()
            chosen = {row[2] for row in cached} | {"/".join(row) for row in cached} | ({run} if run else set())
            everything = project is None and run is None
            marked = [row for row in named if everything or row[1] in chosen or row[1].rpartition("/")[2] in chosen]
            if marked:
                execute("UPDATE checkpoints SET recheck = 1 WHERE id = ?", [(row[0],) for row in marked])
            return sorted({row[2] for row in marked})

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with failures_of(self._path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with failures_of(self._path), self._engine.connect() as connection, immediate(connection):
            yield connection


def _chosen(project: str | None, run: str | None) -> tuple[str, tuple[str, ...]]:
    where: list[str] = []
    values: list[str] = []
    if project is not None:
        entity, _, name = project.rpartition("/")
        where.append("project = ?")
        values.append(name)
        if entity:
            where.append("entity = ?")
            values.append(entity)
    if run is not None:
        parts = run.split("/")
        for column, part in zip(("run_id", "project", "entity"), reversed(parts), strict=False):
            where.append(f"{column} = ?")
            values.append(part)
    return " AND ".join(where) or "1", tuple(values)


def _values(run: CachedRun) -> tuple[Any, ...]:
    return (
        *run.key,
        int(run.found),
        int(run.forbidden),
        run.state,
        json.dumps(dict(run.config)),
        json.dumps(dict(run.summary)),
        json.dumps(dict(run.attributes)),
        run.fetched_at,
        run.expires_at,
    )


def _json(rows: Sequence[HistoryRow]) -> str:
    return json.dumps([(row.step, row.at, dict(row.values)) for row in rows])


def _run(row: Sequence[Any], history: Mapping[HistoryNeed, tuple[HistoryRow, ...]]) -> CachedRun:
    _, base_url, entity, project, run_id, found, forbidden, state, config, summary, attributes, fetched, expires = row
    return CachedRun(
        RunKey(base_url, entity, project, run_id),
        bool(found),
        fetched,
        expires,
        bool(forbidden),
        state,
        json.loads(config or "{}"),
        json.loads(summary or "{}"),
        json.loads(attributes or "{}"),
        history,
    )
