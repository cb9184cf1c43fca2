"""Rows out of resolutions: one statement per table and batch, one transaction per batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from math import isnan
from typing import Any

from sqlalchemy import Connection

from catalogdb.records import FIELD_NAMES, Place, Problem, Resolution, Shape, Values
from catalogdb.store.engine import driver_connection
from catalogdb.store.intern import Interned
from catalogdb.store.paths import inside

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
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


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

    def upsert(self, root_id: int, resolved: Sequence[tuple[Resolution, int]]) -> None:
        """Writes rows with all that hangs on them. ``resolved`` pairs each resolution with its fingerprint.

        The user's own tags, notes and aliases stay with the row.
        """
        execute = self._connection.exec_driver_sql
        at = now()
        newest = execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'checkpoints'").scalar_one()
        param_sets = self._interned.param_sets([resolution.params for resolution, _ in resolved])
        rows = [
            self._row(root_id, resolution, fingerprint, param_sets.get(resolution.params), at)
            for resolution, fingerprint in resolved
        ]
        execute(UPSERT, rows)
        ids = self.ids(root_id, [resolution.candidate.rel_path for resolution, _ in resolved])
        known = [(checkpoint_id,) for checkpoint_id in ids.values() if checkpoint_id <= newest]
        if known:
            execute("DELETE FROM metrics WHERE checkpoint_id = ?", known)
            execute("DELETE FROM sources WHERE checkpoint_id = ?", known)
        metrics: list[tuple[Any, ...]] = []
        sources: list[tuple[Any, ...]] = []
        for resolution, _ in resolved:
            candidate = resolution.candidate
            checkpoint_id = ids[candidate.rel_path]
            fields, logged = Values.of(resolution.fields), Values.of(resolution.metrics)
            place = fields.shape.places.get("architecture")
            architecture = None if place is None else fields.content[place]
            keys = self._interned.metric_keys(logged.shape)
            metrics += [
                (checkpoint_id, name_id, None if isnan(value) else value, origin_id, architecture)
                for (name_id, origin_id), value in zip(keys, logged.content, strict=True)
            ]
            for role, path, stamp in candidate.sources:
                relative = inside(candidate.root, path)
                sources.append((checkpoint_id, role, relative, stamp.size, stamp.mtime_ns, stamp.inode))
        if metrics:
            execute(INSERT_METRIC, metrics)
        if sources:
            execute(INSERT_SOURCE, sources)

    def ids(self, root_id: int, rel_paths: Sequence[str]) -> dict[str, int]:
        rows = self._connection.exec_driver_sql(
            f"SELECT rel_path, id FROM checkpoints WHERE root_id = ? AND rel_path IN ({_marks(len(rel_paths))})",
            (root_id, *rel_paths),
        )
        return {rel_path: checkpoint_id for rel_path, checkpoint_id in rows}

    def mark_missing(self, ids: Iterable[int]) -> None:
        """The files are gone. The rows stay known, with all that is known about them."""
        keys = [(checkpoint_id,) for checkpoint_id in ids]
        if keys:
            self._connection.exec_driver_sql("UPDATE checkpoints SET state = 'missing' WHERE id = ?", keys)
            self._connection.exec_driver_sql("UPDATE metrics SET live = 0 WHERE checkpoint_id = ?", keys)

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
        self, root_id: int, resolution: Resolution, fingerprint: int, param_set_id: int | None, at: str
    ) -> tuple[Any, ...]:
        candidate, fields, weights = resolution.candidate, Values.of(resolution.fields), resolution.weights
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
            param_set_id,
            self._interned.provenance_set(fields.shape),
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
