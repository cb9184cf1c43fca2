"""Leases: one living watcher for a root, whoever it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from catalogdb.errors import AlreadyWatched
from catalogdb.store import Lease, Pulse

NAMESPACE = "catalogdb.store.watchers.pid_namespace"


def watchers(database: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT pid_namespace, status FROM watchers ORDER BY pid_namespace").fetchall()


def test_containers_that_share_a_host_s_name_and_a_process_id(
    engine: Engine, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each container has a process 1, and may bear the host's name."""
    monkeypatch.setattr(NAMESPACE, lambda: "pid:[1]")
    first = Lease(engine, ["/data/outputs"])
    first.acquire()
    monkeypatch.setattr(NAMESPACE, lambda: "pid:[2]")
    with pytest.raises(AlreadyWatched, match="/data/outputs: is watched already"):
        Lease(engine, ["/data/outputs"]).acquire()
    second = Lease(engine, ["/data/more"])
    second.acquire()
    second.beat(Pulse("busy"))
    assert watchers(database) == [("pid:[1]", "starting"), ("pid:[2]", "busy")]
    second.release()
    assert watchers(database) == [("pid:[1]", "starting")]


def test_a_lease_is_taken_again_by_who_has_it(engine: Engine, database: Path) -> None:
    for _ in range(2):
        Lease(engine, ["/data/outputs"]).acquire()
    assert len(watchers(database)) == 1
