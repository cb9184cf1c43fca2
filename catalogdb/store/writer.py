"""Rows out of resolutions: one statement per table and batch, one transaction per batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from math import isnan
from typing import Any, NamedTuple

from sqlalchemy import Connection

from catalogdb.records import FIELD_NAMES, Place, Problem, Resolution, Shape, Values
from catalogdb.store.engine import driver_connection
from catalogdb.store.intern import Interned
from catalogdb.store.paths import inside
from catalogdb.timestamps import iso

_CONFIG_PATH = FIELD_NAMES.index("config_path")
_IDENTITY = ("root_id", "rel_path")
_COLUMNS = (
    *_IDENTITY,
    "device",
    "inode",
    "size_bytes",
    "mtime_ns",
    "fingerprint",
    "recheck",
    "link_target",
    "format",
    "state",
    "source",
    "stale",
    *FIELD_NAMES,
    "num_parameters",
    "num_tensors",
    "dtypes",
    "weights_fingerprint",
    "param_set_id",
    "provenance_set_id",
    "problems",
    "resolved_at",
    "recheck_at",
)


def _marks(count: int) -> str:
    return ", ".join("?" * count)


UPSERT = (
    f"INSERT INTO checkpoints ({', '.join(_COLUMNS)}) VALUES ({_marks(len(_COLUMNS))}) "
    f"ON CONFLICT ({', '.join(_IDENTITY)}) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS if column not in _IDENTITY)
)
INSERT_METRIC = (
    "INSERT INTO metrics (checkpoint_id, name_id, value, origin_id, live, architecture) VALUES (?, ?, ?, ?, 1, ?)"
)
INSERT_SOURCE = "INSERT INTO sources (checkpoint_id, role, path, size_bytes, mtime_ns, inode) VALUES (?, ?, ?, ?, ?, ?)"


def now() -> str:
    """The time as it is stored: ISO 8601, UTC, seconds."""
    return iso(datetime.now(timezone.utc))


class _There(NamedTuple):
    """A row as it is by now."""

    id: int
    fingerprint: int


class Writer:
    """Writes into one catalog, inside transactions that its caller opens.

    What it has interned in a transaction that was rolled back must be forgotten: ``forget``.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = driver_connection(connection)
        self._interned = Interned(self._raw)

    def forget(self) -> None:
        self._interned = Interned(self._raw)

    def upsert(self, root_id: int, resolved: Sequence[tuple[Resolution, int]], seen: Mapping[str, int | None]) -> None:
        """Writes rows with all that hangs on them. ``resolved`` pairs each resolution with its fingerprint.

        ``seen`` has by relative path the fingerprint that a row had before its file was read, None for no row. One that
        has another by now was written meanwhile by somebody who may know better: it stays, and is looked at again. The
        user's own tags, notes and aliases stay with the row.
        """
        there = self._there(root_id, [resolution.candidate.rel_path for resolution, _ in resolved])
        resolved = self._not_overtaken(resolved, seen, there)
        if not resolved:
            return
        fields = [Values.of(resolution.fields) for resolution, _ in resolved]
        logged = [Values.of(resolution.metrics) for resolution, _ in resolved]
        shared = {id(resolution.params): resolution.params for resolution, _ in resolved}  # by a run's checkpoints
        params = [group.values for groups in shared.values() for group in groups]
        self._interned.know_origins(dict.fromkeys(values.shape for values in (*fields, *logged, *params)))
        param_sets = self._interned.param_sets([resolution.params for resolution, _ in resolved])
        provenance = self._interned.provenance_sets(values.shape for values in fields)
        at = now()
        rows = [
            self._row(
                root_id,
                resolution,
                stated,
                fingerprint,
                (param_sets.get(resolution.params), provenance[stated.shape]),
                at,
            )
            for (resolution, fingerprint), stated in zip(resolved, fields, strict=True)
        ]
        self._connection.exec_driver_sql(UPSERT, rows)
        paths = [resolution.candidate.rel_path for resolution, _ in resolved]
        ids = {path: there[path].id for path in paths if path in there}
        self._forget_dependents(ids.values())
        ids |= {path: row.id for path, row in self._there(root_id, [path for path in paths if path not in ids]).items()}
        self._write_dependents([resolution for resolution, _ in resolved], fields, logged, ids)

    def _not_overtaken(
        self, resolved: Sequence[tuple[Resolution, int]], seen: Mapping[str, int | None], there: Mapping[str, _There]
    ) -> Sequence[tuple[Resolution, int]]:
        """Those whose row nobody else wrote since ``seen``; the others are to be looked at again."""
        overtaken = {
            path: there[path].id
            for path, mark in [(resolution.candidate.rel_path, mark) for resolution, mark in resolved]
            if path in there and path in seen and there[path].fingerprint not in (seen[path], mark)
        }
        if not overtaken:
            return resolved
        again = [(each,) for each in overtaken.values()]
        self._connection.exec_driver_sql("UPDATE checkpoints SET recheck = recheck | 1 WHERE id = ?", again)
        return [each for each in resolved if each[0].candidate.rel_path not in overtaken]

    def _forget_dependents(self, checkpoint_ids: Iterable[int]) -> None:
        """The metrics and sources of rows that are written anew."""
        keys = [(checkpoint_id,) for checkpoint_id in checkpoint_ids]
        if keys:
            self._connection.exec_driver_sql("DELETE FROM metrics WHERE checkpoint_id = ?", keys)
            self._connection.exec_driver_sql("DELETE FROM sources WHERE checkpoint_id = ?", keys)

    def _write_dependents(
        self, resolved: Sequence[Resolution], fields: Sequence[Values], logged: Sequence[Values], ids: Mapping[str, int]
    ) -> None:
        """The metrics (``logged``) and the sources of rows; ``ids`` are theirs by relative path."""
        metrics: list[tuple[Any, ...]] = []
        sources: list[tuple[Any, ...]] = []
        for resolution, stated, measured in zip(resolved, fields, logged, strict=True):
            candidate = resolution.candidate
            checkpoint_id = ids[candidate.rel_path]
            place = stated.shape.places.get("architecture")
            architecture = None if place is None else stated.content[place]
            keys = self._interned.metric_keys(measured.shape)
            metrics += [
                (checkpoint_id, name_id, None if isnan(value) else value, origin_id, architecture)
                for (name_id, origin_id), value in zip(keys, measured.content, strict=True)
            ]
            for role, path, stamp in candidate.sources:
                relative = inside(candidate.root, path)
                sources.append((checkpoint_id, role, relative, stamp.size, stamp.mtime_ns, stamp.inode))
        if metrics:
            self._connection.exec_driver_sql(INSERT_METRIC, metrics)
        if sources:
            self._connection.exec_driver_sql(INSERT_SOURCE, sources)

    def _there(self, root_id: int, rel_paths: Sequence[str]) -> dict[str, _There]:
        rows = self._raw.execute(
            "SELECT rel_path, id, fingerprint FROM checkpoints "
            f"WHERE root_id = ? AND rel_path IN ({_marks(len(rel_paths))})",
            (root_id, *rel_paths),
        )
        return {rel_path: _There(checkpoint_id, fingerprint) for rel_path, checkpoint_id, fingerprint in rows}

    def mark_missing(self, seen: Mapping[int, int | None]) -> None:
        """The files are gone. The rows stay known, with all that is known about them.

        ``seen`` has by id the fingerprint that a row had before its file was looked for, None for any. One that has
        another by now was written meanwhile, so its file is back: it stays as it is, and is looked at again.
        """
        if not seen:
            return
        execute = self._connection.exec_driver_sql
        execute(
            "UPDATE checkpoints SET state = 'missing' WHERE id = ? AND fingerprint = coalesce(?, fingerprint)",
            [*seen.items()],
        )
        keys = [(checkpoint_id,) for checkpoint_id in seen]
        execute("UPDATE checkpoints SET recheck = recheck | 1 WHERE id = ? AND state <> 'missing'", keys)
        execute(
            "UPDATE metrics SET live = 0 WHERE checkpoint_id IN "
            "(SELECT id FROM checkpoints WHERE id = ? AND state = 'missing')",
            keys,
        )

    def keep_fingerprints(self, known: Sequence[tuple[int, str]]) -> None:
        self._connection.exec_driver_sql(
            "UPDATE checkpoints SET weights_fingerprint = ? WHERE id = ?",
            [(fingerprint, checkpoint_id) for checkpoint_id, fingerprint in known],
        )

    def remember_foreign(self, root_id: int, files: Sequence[tuple[str, int, str | None]]) -> None:
        """Files with a checkpoint's name that are none: (relative path, fingerprint, why)."""
        if files:
            self._connection.exec_driver_sql(
                "INSERT INTO foreign_files (root_id, rel_path, fingerprint, reason) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (root_id, rel_path) DO UPDATE SET "
                "fingerprint = excluded.fingerprint, reason = excluded.reason",
                [(root_id, *file) for file in files],
            )

    def forget_foreign(self, root_id: int, rel_paths: Iterable[str]) -> None:
        keys = [(root_id, rel_path) for rel_path in rel_paths]
        if keys:
            self._connection.exec_driver_sql("DELETE FROM foreign_files WHERE root_id = ? AND rel_path = ?", keys)

    def finish_root(self, root_id: int, problems: Sequence[Problem]) -> None:
        texts = [f"{problem.path}: {problem.reason}" for problem in problems]
        self._connection.exec_driver_sql(
            "UPDATE roots SET scanned_at = ?, problems = ? WHERE id = ?",
            (now(), json.dumps(texts) if texts else None, root_id),
        )

    def replace_problems(self, root_id: int, places: Sequence[Place], problems: Sequence[Problem]) -> None:
        """Puts the problems of some places in place of those that they had."""
        execute = self._connection.exec_driver_sql
        path, texts = execute("SELECT path, problems FROM roots WHERE id = ?", (root_id,)).one()
        known = json.loads(texts or "[]")
        kept = [text for text in known if not any(_is_about(text, path, place) for place in places)]
        new = kept + [f"{problem.path}: {problem.reason}" for problem in problems]
        if new != known:
            execute("UPDATE roots SET problems = ? WHERE id = ?", (json.dumps(new) if new else None, root_id))

    def _row(
        self,
        root_id: int,
        resolution: Resolution,
        fields: Values,
        fingerprint: int,
        sets: tuple[int | None, int],
        at: str,
    ) -> tuple[Any, ...]:
        """``sets`` are the ids of the parameters and of the fields' origins."""
        candidate, weights = resolution.candidate, resolution.weights
        stamp = candidate.stamp
        known = (*fields.content, None)
        values = [known[place] for place in self._places(fields.shape)]
        if values[_CONFIG_PATH] is not None:
            values[_CONFIG_PATH] = inside(candidate.root, values[_CONFIG_PATH])
        texts = [_one_line(problem, candidate.path) for problem in resolution.problems]
        return (
            root_id,
            candidate.rel_path,
            stamp.device,
            stamp.inode,
            stamp.size,
            stamp.mtime_ns,
            fingerprint,
            int(resolution.recheck),
            inside(candidate.root, candidate.link_target) if candidate.link_target else None,
            resolution.format,
            resolution.state,
            resolution.source,
            int(bool(resolution.failed)),
            *values,
            weights.num_parameters if weights else None,
            weights.num_tensors if weights else None,
            json.dumps(dict(weights.dtypes)) if weights else None,
            weights.fingerprint if weights else None,
            *sets,
            json.dumps(texts) if texts else None,
            at,
            resolution.recheck_at,
        )

    @staticmethod
    def _places(shape: Shape) -> tuple[int, ...]:
        """Where each field stands in the content of ``shape``; -1 for one that isn't known."""
        return tuple([shape.places.get(name, -1) for name in FIELD_NAMES])


def _is_about(text: str, root: str, place: Place) -> bool:
    """Whether a root's problem is about a file of ``place``, or about its folder."""
    folder = f"{root.rstrip('/')}/{place.folder}".rstrip("/")
    if text.startswith(f"{folder}: "):
        return True
    below = text[len(folder) + 1 :].partition(": ")[0]
    return text.startswith(f"{folder}/") and (place.depth is None or below.count("/") <= place.depth)


def _one_line(problem: Problem, path: str) -> str:
    """A problem as the row keeps it: with the file's name only where it isn't the checkpoint itself."""
    if problem.path == path:
        return problem.reason
    return f"{problem.path.rpartition('/')[2]}: {problem.reason}"
