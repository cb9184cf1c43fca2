"""The catalog at a glance."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from catalogdb.store.paths import absolute
from catalogdb.store.watchers import is_alive


@dataclass(frozen=True, slots=True)
class RootStatus:
    """A root. ``rows`` counts those on disk; ``problems`` are those of its last scan."""

    path: str
    added_at: str
    scanned_at: str | None
    rows: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WatcherStatus:
    """A watcher by its last heartbeat. ``alive`` is what can be told from here; ``polled`` are its roots without
    events, ``queue`` the paths that wait to be looked at."""

    host: str
    pid: int
    alive: bool
    roots: tuple[str, ...]
    polled: tuple[str, ...]
    started_at: str
    heartbeat_at: str
    status: str | None
    queue: int
    events: int
    events_per_second: float
    last_event_at: str | None
    reconciled_at: str | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CatalogStatus:
    """``by_source`` leaves missing rows out; ``stale`` counts rows of which a tier could not be asked, or whose folder
    could not be read; ``problems`` are (path, what is wrong) of checkpoints, latest first."""

    roots: tuple[RootStatus, ...]
    by_state: Mapping[str, int]
    by_source: Mapping[str, int]
    watchers: tuple[WatcherStatus, ...]
    cached_runs: int
    stale: int
    problems: tuple[tuple[str, str], ...]


def read_status(raw: sqlite3.Connection, *, problems: int = 20) -> CatalogStatus:
    """The status as of one moment, if the caller holds a snapshot; at most that many problems."""
    rows: Counter[int] = Counter()
    by_state: Counter[str] = Counter()
    by_source: Counter[str] = Counter()
    stale = 0
    for root_id, state, source, count, doubtful in raw.execute(
        "SELECT root_id, state, source, count(*), sum(stale) FROM checkpoints GROUP BY 1, 2, 3"
    ):
        by_state[state] += count
        stale += doubtful if state != "missing" else 0
        if state != "missing":
            rows[root_id] += count
            by_source[source or "unknown"] += count
    roots = tuple(
        RootStatus(path, added_at, scanned_at, rows[root_id], tuple(json.loads(texts or "[]")))
        for root_id, path, added_at, scanned_at, texts in raw.execute(
            "SELECT id, path, added_at, scanned_at, problems FROM roots ORDER BY path"
        )
    )
    watchers = tuple(_watcher(*row) for row in raw.execute(f"SELECT {_WATCHER} FROM watchers ORDER BY host, pid"))
    runs = raw.execute("SELECT count(*) FROM wandb_runs").fetchone()[0]
    last = raw.execute(
        "SELECT r.path, c.rel_path, c.problems FROM checkpoints c CROSS JOIN roots r ON r.id = c.root_id "
        "WHERE c.problems IS NOT NULL AND c.state <> 'missing' "
        "ORDER BY c.resolved_at DESC, r.path, c.rel_path LIMIT ?",
        (problems,),
    )
    texts = [(absolute(root, path), text) for root, path, found in last for text in json.loads(found)]
    return CatalogStatus(roots, dict(by_state), dict(by_source), watchers, runs, stale, tuple(texts[:problems]))


_WATCHER = (
    "host, pid, pid_namespace, roots, polled, started_at, heartbeat_at, status, coalesce(queue, 0), "
    "coalesce(events, 0), coalesce(events_per_second, 0.0), last_event_at, reconciled_at, problems"
)


def _watcher(
    host: str,
    pid: int,
    namespace: str | None,
    roots: str,
    polled: str | None,
    started_at: str,
    heartbeat_at: str,
    status: str | None,
    queue: int,
    events: int,
    events_per_second: float,
    last_event_at: str | None,
    reconciled_at: str | None,
    problems: str | None,
) -> WatcherStatus:
    alive = is_alive(host, pid, heartbeat_at, namespace)
    many = [tuple(json.loads(texts or "[]")) for texts in (roots, polled, problems)]
    said = (status, queue, events, events_per_second, last_event_at, reconciled_at)
    return WatcherStatus(host, pid, alive, many[0], many[1], started_at, heartbeat_at, *said, many[2])
