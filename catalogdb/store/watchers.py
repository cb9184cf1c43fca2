"""Who watches what: a lease for each watcher, held by a heartbeat, and what it says of itself."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sqlalchemy import Connection, Engine

from catalogdb.errors import AlreadyWatched
from catalogdb.store.engine import database_path, failures_of, immediate
from catalogdb.store.writer import now

HEARTBEAT_SECONDS = 5.0
LEASE_SECONDS = 30.0
"""A watcher that wasn't heard for so long is dead, and its roots are free."""

_Identity = tuple[str, int, str | None]
"""Host, process id, and the namespace in which that means something."""

_IS = "host = ? AND pid = ? AND pid_namespace IS ?"


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a watcher says of itself with each heartbeat. Times are ISO 8601.

    ``polled`` are the roots without events.
    """

    status: str
    queue: int = 0
    events: int = 0
    events_per_second: float = 0.0
    last_event_at: str | None = None
    reconciled_at: str | None = None
    polled: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Lease:
    """One watcher's row. Each call is a short transaction on a connection of its own: threads may share a lease."""

    def __init__(self, engine: Engine, roots: Sequence[str]) -> None:
        self._engine = engine
        self._path = database_path(engine.url)
        self._roots = tuple(roots)
        self._identity: _Identity = socket.gethostname(), os.getpid(), pid_namespace()

    def acquire(self) -> None:
        """Takes the roots, over from a dead watcher too. Raises AlreadyWatched where a living one has one of them."""
        with failures_of(self._path), self._engine.connect() as connection, immediate(connection):
            self._acquire(connection)

    def beat(self, pulse: Pulse) -> None:
        """Says that we live, and how. A lease that was lost is taken again, or AlreadyWatched raised."""
        with failures_of(self._path), self._engine.connect() as connection, immediate(connection):
            values = (
                now(),
                pulse.status,
                pulse.queue,
                pulse.events,
                pulse.events_per_second,
                pulse.last_event_at,
                pulse.reconciled_at,
                json.dumps(pulse.polled),
                json.dumps(pulse.problems),
                *self._identity,
            )
            update = (
                "UPDATE watchers SET heartbeat_at = ?, status = ?, queue = ?, events = ?, events_per_second = ?, "
                "last_event_at = ?, reconciled_at = ?, polled = ?, problems = ? "
                f"WHERE {_IS}"
            )
            if not connection.exec_driver_sql(update, values).rowcount:
                self._acquire(connection)

    def release(self) -> None:
        with failures_of(self._path), self._engine.connect() as connection, immediate(connection):
            self._forget(connection, self._identity)

    def _acquire(self, connection: Connection) -> None:
        rows = connection.exec_driver_sql(
            "SELECT host, pid, roots, heartbeat_at, pid_namespace FROM watchers"
        ).fetchall()
        for host, pid, texts, heartbeat_at, namespace in rows:
            identity = host, pid, namespace
            if identity == self._identity or not is_alive(host, pid, heartbeat_at, namespace):
                self._forget(connection, identity)
                continue
            shared = next((mine for mine in self._roots for other in json.loads(texts) if overlap(mine, other)), None)
            if shared is not None:
                raise AlreadyWatched(f"{shared}: is watched already, by process {pid} on {host}")
        at = now()
        connection.exec_driver_sql(
            "INSERT INTO watchers (host, pid, pid_namespace, roots, started_at, heartbeat_at, status) "
            "VALUES (?, ?, ?, ?, ?, ?, 'starting')",
            (*self._identity, json.dumps(self._roots), at, at),
        )

    @staticmethod
    def _forget(connection: Connection, identity: _Identity) -> None:
        connection.exec_driver_sql(f"DELETE FROM watchers WHERE {_IS}", identity)


def watcher_of(connection: Connection, root: str) -> tuple[str, int] | None:
    """The host and the process id of a living watcher that has folders in common with a root."""
    rows = connection.exec_driver_sql("SELECT host, pid, roots, heartbeat_at, pid_namespace FROM watchers")
    for host, pid, texts, heartbeat_at, namespace in rows:
        if any(overlap(root, other) for other in json.loads(texts)) and is_alive(host, pid, heartbeat_at, namespace):
            return host, pid
    return None


def is_alive(host: str, pid: int, heartbeat_at: str, namespace: str | None) -> bool:
    """By its process, where that can be seen from here, and by its heartbeat."""
    age = (datetime.now(timezone.utc) - datetime.fromisoformat(heartbeat_at)).total_seconds()
    if abs(age) > LEASE_SECONDS:
        return False
    if host != socket.gethostname() or namespace is None or namespace != pid_namespace():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] == "Z"
        )
    except OSError:
        return False


def pid_namespace() -> str | None:
    """What a process id means something in: containers of one host name may each have a process 1."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "host"


def overlap(one: str, other: str) -> bool:
    """Whether two roots have a folder in common."""
    one, other = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    return one.startswith(other) or other.startswith(one)
