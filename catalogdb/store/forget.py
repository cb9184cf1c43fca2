"""A root leaves the catalog, with all its rows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine

from catalogdb.errors import AlreadyWatched, NotFound, UsageError
from catalogdb.store.engine import database_path, failures_of, immediate
from catalogdb.store.watchers import watcher_of

_WITH_FACTS = """
SELECT count(*) FROM checkpoints WHERE root_id = ? AND id IN
(SELECT checkpoint_id FROM tags UNION SELECT checkpoint_id FROM notes UNION SELECT checkpoint_id FROM aliases)
"""


def forget_root(engine: Engine, spellings: Sequence[str], *, with_facts: bool) -> int:
    """Deletes the root of an absolute path and its rows, in one transaction; returns how many rows.

    ``spellings`` are the path with its links resolved, and as it was before something there became a link. Raises
    NotFound where the path is no root, UsageError where rows have tags, notes or aliases and ``with_facts`` is not set,
    and AlreadyWatched while somebody watches it. Content that rows share (metric names, params) stays: whoever else
    writes meanwhile may have just met it.
    """
    with failures_of(database_path(engine.url)), engine.connect() as connection, immediate(connection):
        root_id, path = _root(connection, spellings)
        watcher = watcher_of(connection, path)
        if watcher is not None:
            host, pid = watcher
            raise AlreadyWatched(f"{path}: is watched by process {pid} on {host}; stop it first")
        kept = connection.exec_driver_sql(_WITH_FACTS, (root_id,)).scalar_one()
        if kept and not with_facts:
            whose = "1 checkpoint has" if kept == 1 else f"{kept} checkpoints have"
            raise UsageError(
                f"{path}: {whose} tags, notes or aliases; db export-facts keeps them, --force forgets them"
            )
        rows = connection.exec_driver_sql("SELECT count(*) FROM checkpoints WHERE root_id = ?", (root_id,)).scalar_one()
        connection.exec_driver_sql("DELETE FROM roots WHERE id = ?", (root_id,))
        return int(rows)


def _root(connection: Connection, spellings: Sequence[str]) -> tuple[int, str]:
    roots = {known: root_id for root_id, known in connection.exec_driver_sql("SELECT id, path FROM roots")}
    for path in spellings:
        if path in roots:
            return int(roots[path]), path
    path = spellings[0]
    above = next((known for known in roots if path.startswith(f"{known.rstrip('/')}/")), None)
    if above is not None:
        raise NotFound(f"{path}: is no root, but lies in one: {above}")
    raise NotFound(f"{path}: is no root of this catalog; catalogdb status lists them")
