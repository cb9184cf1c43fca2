"""W&B runs with their history rows, kept in the catalog: nothing is asked twice."""

from __future__ import annotations

import json

from sqlalchemy import Connection, Engine

from catalogdb.records import CachedRun
from catalogdb.store.engine import database_path, failures_of, immediate

_KEY = "entity = ? AND project = ? AND run_id = ?"


class RunCache:
    """Reads and writes runs, a transaction each. Connections are opened per call: tiers ask from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._path = database_path(engine.url)

    def find(self, entity: str, project: str, run_id: str) -> CachedRun | None:
        with failures_of(self._path), self._engine.connect() as connection:
            row = connection.exec_driver_sql(
                "SELECT id, found, fetched_at, expires_at, state, config, summary, history_complete "
                f"FROM wandb_runs WHERE {_KEY}",
                (entity, project, run_id),
            ).fetchone()
            if row is None:
                return None
            row_id, found, fetched_at, expires_at, state, config, summary, complete = row
            rows = connection.exec_driver_sql(
                "SELECT step, row FROM wandb_history WHERE wandb_run_id = ? ORDER BY step", (row_id,)
            )
            return CachedRun(
                entity,
                project,
                run_id,
                bool(found),
                fetched_at,
                expires_at,
                state,
                json.loads(config or "{}"),
                json.loads(summary or "{}"),
                {step: json.loads(text) for step, text in rows},
                bool(complete),
            )

    def put(self, run: CachedRun) -> None:
        with failures_of(self._path), self._engine.connect() as connection, immediate(connection):
            self._put(connection, run)

    def _put(self, connection: Connection, run: CachedRun) -> None:
        key = (run.entity, run.project, run.run_id)
        connection.exec_driver_sql(
            "INSERT INTO wandb_runs (entity, project, run_id, found, fetched_at, expires_at, state, config, summary, "
            "history_complete) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (entity, project, run_id) DO UPDATE "
            "SET found = excluded.found, fetched_at = excluded.fetched_at, expires_at = excluded.expires_at, "
            "state = excluded.state, config = excluded.config, summary = excluded.summary, "
            "history_complete = excluded.history_complete",
            (
                *key,
                int(run.found),
                run.fetched_at,
                run.expires_at,
                run.state,
                json.dumps(dict(run.config)),
                json.dumps(dict(run.summary)),
                int(run.history_complete),
            ),
        )
        row_id = connection.exec_driver_sql(f"SELECT id FROM wandb_runs WHERE {_KEY}", key).scalar_one()
        connection.exec_driver_sql("DELETE FROM wandb_history WHERE wandb_run_id = ?", (row_id,))
        rows = [(row_id, step, json.dumps(dict(row))) for step, row in run.history.items()]
        if rows:
            connection.exec_driver_sql("INSERT INTO wandb_history (wandb_run_id, step, row) VALUES (?, ?, ?)", rows)
