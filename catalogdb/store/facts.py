"""The user's own facts in a catalog's file: tags, aliases and notes. No scan writes here."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, Engine

from catalogdb.errors import NotFound
from catalogdb.records import Facts, FactsReport, Problem
from catalogdb.store.engine import database_path, driver_connection, failures_of, immediate
from catalogdb.store.paths import absolute
from catalogdb.store.reader import find_id_by_path
from catalogdb.store.writer import now

_EXPORT = """
SELECT r.path, c.rel_path, c.weights_fingerprint, n.text,
       (SELECT json_group_object(t.key, t.value) FROM tags t WHERE t.checkpoint_id = c.id),
       (SELECT json_group_array(a.name) FROM aliases a WHERE a.checkpoint_id = c.id)
FROM (SELECT checkpoint_id FROM tags UNION SELECT checkpoint_id FROM aliases UNION SELECT checkpoint_id FROM notes) f
CROSS JOIN checkpoints c ON c.id = f.checkpoint_id CROSS JOIN roots r ON r.id = c.root_id
LEFT JOIN notes n ON n.checkpoint_id = c.id
ORDER BY r.path, c.rel_path
"""
_TWINS = """
SELECT c.weights_fingerprint, c.id, r.path, c.rel_path FROM checkpoints c CROSS JOIN roots r ON r.id = c.root_id
WHERE c.state <> 'missing' AND c.weights_fingerprint IN (SELECT value FROM json_each(?)) ORDER BY r.path, c.rel_path
"""
_PUT_TAG = "INSERT INTO tags (checkpoint_id, key, value, created_at) VALUES (?, ?, ?, ?)"
_PUT_ALIAS = "INSERT INTO aliases (name, checkpoint_id, created_at) VALUES (?, ?, ?)"
_PUT_NOTE = "INSERT INTO notes (checkpoint_id, text, updated_at) VALUES (?, ?, ?)"
SHOWN_TWINS = 3


class FactsBook:
    """One writing connection. Each method is one transaction, which a power cut doesn't undo: no scan could make these
    rows anew."""

    def __init__(self, engine: Engine) -> None:
        self._path = database_path(engine.url)
        with failures_of(self._path):
            self._connection = engine.connect()
            driver_connection(self._connection).execute("PRAGMA synchronous = FULL")

    def __enter__(self) -> FactsBook:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    def change_tags(self, checkpoint_id: int, put: Mapping[str, str | None], take: Iterable[str]) -> None:
        with failures_of(self._path), immediate(self._connection) as connection:
            _must_be_there(connection, checkpoint_id)
            for key, value in put.items():
                connection.exec_driver_sql(
                    f"{_PUT_TAG} ON CONFLICT (checkpoint_id, key) DO UPDATE SET value = excluded.value, "
                    "created_at = excluded.created_at WHERE value IS NOT excluded.value",
                    (checkpoint_id, key, value, now()),
                )
            for key in take:
                connection.exec_driver_sql("DELETE FROM tags WHERE checkpoint_id = ? AND key = ?", (checkpoint_id, key))

    def write_note(self, checkpoint_id: int, text: str | None) -> None:
        """Puts a note in the place of the one there is; None takes it away."""
        with failures_of(self._path), immediate(self._connection) as connection:
            _must_be_there(connection, checkpoint_id)
            if text is None:
                connection.exec_driver_sql("DELETE FROM notes WHERE checkpoint_id = ?", (checkpoint_id,))
                return
            connection.exec_driver_sql(
                f"{_PUT_NOTE} ON CONFLICT (checkpoint_id) "
                "DO UPDATE SET text = excluded.text, updated_at = excluded.updated_at WHERE text <> excluded.text",
                (checkpoint_id, text, now()),
            )

    def name(self, checkpoint_id: int, alias: str) -> None:
        """Has an alias name this checkpoint, whichever it named before."""
        with failures_of(self._path), immediate(self._connection) as connection:
            _must_be_there(connection, checkpoint_id)
            connection.exec_driver_sql(
                f"{_PUT_ALIAS} ON CONFLICT (name) DO UPDATE "
                "SET checkpoint_id = excluded.checkpoint_id, created_at = excluded.created_at "
                "WHERE checkpoint_id <> excluded.checkpoint_id",
                (alias, checkpoint_id, now()),
            )

    def unname(self, alias: str) -> bool:
        """Whether there was such an alias."""
        with failures_of(self._path), immediate(self._connection) as connection:
            return connection.exec_driver_sql("DELETE FROM aliases WHERE name = ?", (alias,)).rowcount > 0

    def take_in(self, records: Sequence[Facts]) -> FactsReport:
        """Gives facts to the checkpoints that they are about, as one whole.

        A record's checkpoint is the one at its path, else the only one with its weights, or the only one of those at
        its place inside a root. What is said here already stays: where a record says otherwise, that is a problem.
        """
        with failures_of(self._path), immediate(self._connection) as connection:
            raw = driver_connection(connection)
            found = {place: find_id_by_path(raw, record.path) for place, record in enumerate(records)}
            twins = self._twins(record.fingerprint for place, record in enumerate(records) if found[place] is None)
            problems: list[Problem] = []
            by_path = by_fingerprint = 0
            for place, record in enumerate(records):
                checkpoint_id = found[place]
                by_path += checkpoint_id is not None
                if checkpoint_id is None:
                    checkpoint_id, reason = _choose(record, twins.get(record.fingerprint or "", []))
                    if checkpoint_id is None:
                        problems.append(Problem(record.path, None, reason))
                        continue
                    by_fingerprint += 1
                problems += [Problem(record.path, None, reason) for reason in self._add(checkpoint_id, record)]
        return FactsReport(by_path, by_fingerprint, tuple(problems))

    def _twins(self, fingerprints: Iterable[str | None]) -> dict[str, list[tuple[int, str, str]]]:
        """Fingerprint → (id, path, path inside the root) of the checkpoints that have it, found in one go."""
        wanted = json.dumps(sorted({fingerprint for fingerprint in fingerprints if fingerprint is not None}))
        twins: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
        if wanted != "[]":
            for fingerprint, checkpoint_id, root, rel_path in self._connection.exec_driver_sql(_TWINS, (wanted,)):
                twins[fingerprint].append((checkpoint_id, absolute(root, rel_path), rel_path))
        return twins

    def _add(self, checkpoint_id: int, record: Facts) -> list[str]:
        """Adds what isn't said yet; returns what is said otherwise here."""
        execute = self._connection.exec_driver_sql
        conflicts: list[str] = []
        known = execute("SELECT key, value FROM tags WHERE checkpoint_id = ?", (checkpoint_id,))
        tags: dict[str, str | None] = {key: value for key, value in known}
        for key, value in record.tags.items():
            if key not in tags:
                execute(_PUT_TAG, (checkpoint_id, key, value, now()))
            elif tags[key] != value:
                conflicts.append(f"the tag {key} is {_tag(tags[key])} here and {_tag(value)} there; left as it is")
        for name in record.aliases:
            holder = execute("SELECT checkpoint_id FROM aliases WHERE name = ?", (name,)).scalar()
            if holder is None:
                execute(_PUT_ALIAS, (name, checkpoint_id, now()))
            elif holder != checkpoint_id:
                conflicts.append(f"@{name} names checkpoint {holder} here; left as it is")
        if record.note is not None:
            note = execute("SELECT text FROM notes WHERE checkpoint_id = ?", (checkpoint_id,)).scalar()
            if note is None:
                execute(_PUT_NOTE, (checkpoint_id, record.note, now()))
            elif note != record.note:
                conflicts.append("has another note here; left as it is")
        return conflicts


def read_facts(raw: sqlite3.Connection) -> list[Facts]:
    """Of every checkpoint that has any, by path; missing ones too."""
    return [
        Facts(absolute(root, rel_path), rel_path, fingerprint, json.loads(tags), tuple(json.loads(aliases)), note)
        for root, rel_path, fingerprint, note, tags, aliases in raw.execute(_EXPORT)
    ]


def _must_be_there(connection: Connection, checkpoint_id: int) -> None:
    if connection.exec_driver_sql("SELECT 1 FROM checkpoints WHERE id = ?", (checkpoint_id,)).first() is None:
        raise NotFound(f"{checkpoint_id}: no such checkpoint any more")


def _choose(record: Facts, twins: Sequence[tuple[int, str, str]]) -> tuple[int | None, str]:
    """The one checkpoint with a record's weights; or None, and why."""
    if not twins:
        known = "or weights" if record.fingerprint is not None else "(and its weights weren't known: scan --full)"
        return None, f"no checkpoint has this path {known}; scan the folder that holds it, then import again"
    at_its_place = [twin for twin in twins if twin[2] == record.rel_path]
    fitting = twins if len(twins) == 1 else at_its_place
    if len(fitting) == 1:
        return fitting[0][0], ""
    paths = [path for _, path, _ in fitting or twins]
    more = f" and {len(paths) - SHOWN_TWINS} more" if len(paths) > SHOWN_TWINS else ""
    return None, f"ambiguous: the same weights are in {', '.join(paths[:SHOWN_TWINS])}{more}; left out"


def _tag(value: str | None) -> str:
    return "plain" if value is None else repr(value)
