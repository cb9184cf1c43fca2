"""The catalog at a glance."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from catalogdb.store.paths import absolute


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
    host: str
    pid: int
    roots: tuple[str, ...]
    started_at: str
    heartbeat_at: str
    status: str | None


@dataclass(frozen=True, slots=True)
class CatalogStatus:
    """``by_source`` leaves missing rows out; ``problems`` are (path, what is wrong) of checkpoints, latest first."""

    roots: tuple[RootStatus, ...]
    by_state: Mapping[str, int]
    by_source: Mapping[str, int]
    watchers: tuple[WatcherStatus, ...]
    cached_runs: int
    problems: tuple[tuple[str, str], ...]


def read_status(raw: sqlite3.Connection, *, problems: int = 20) -> CatalogStatus:
    """The status as of one moment, if the caller holds a snapshot; at most that many problems."""
    rows: Counter[int] = Counter()
    by_state: Counter[str] = Counter()
    by_source: Counter[str] = Counter()
    for root_id, state, source, count in raw.execute(
        "SELECT root_id, state, source, count(*) FROM checkpoints GROUP BY 1, 2, 3"
    ):
        by_state[state] += count
        if state != "missing":
            rows[root_id] += count
            by_source[source or "unknown"] += count
    roots = tuple(
        RootStatus(path, added_at, scanned_at, rows[root_id], tuple(json.loads(texts or "[]")))
        for root_id, path, added_at, scanned_at, texts in raw.execute(
            "SELECT id, path, added_at, scanned_at, problems FROM roots ORDER BY path"
        )
    )
    watchers = tuple(
        WatcherStatus(host, pid, tuple(json.loads(texts)), *rest)
        for host, pid, texts, *rest in raw.execute(
            "SELECT host, pid, roots, started_at, heartbeat_at, status FROM watchers ORDER BY host, pid"
        )
    )
    runs = raw.execute("SELECT count(*) FROM wandb_runs").fetchone()[0]
    last = raw.execute(
        "SELECT r.path, c.rel_path, c.problems FROM checkpoints c CROSS JOIN roots r ON r.id = c.root_id "
        "WHERE c.problems IS NOT NULL AND c.state <> 'missing' "
        "ORDER BY c.resolved_at DESC, r.path, c.rel_path LIMIT ?",
        (problems,),
    )
    texts = [(absolute(root, path), text) for root, path, found in last for text in json.loads(found)]
    return CatalogStatus(roots, dict(by_state), dict(by_source), watchers, runs, tuple(texts[:problems]))
