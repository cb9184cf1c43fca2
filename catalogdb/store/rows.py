"""Rows of the tables → Checkpoints, a few hundred at once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from catalogdb.records import FIELD_NAMES, Checkpoint, Origin, Scalar, Weights, sidecar_path
from catalogdb.store.functions import scalar
from catalogdb.store.paths import absolute

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_COLUMNS = (
    "id",
    "rel_path",
    "format",
    "size_bytes",
    "mtime_ns",
    "state",
    "source",
    "stale",
    "num_parameters",
    "num_tensors",
    "dtypes",
    "weights_fingerprint",
    "link_target",
    "problems",
    "param_set_id",
    "provenance_set_id",
)
_MARK = "(SELECT value FROM json_each(?))"
SELECT_ROWS = (
    f"SELECT r.path, n.text, {', '.join(f'c.{name}' for name in (*_COLUMNS, *FIELD_NAMES))} "
    "FROM checkpoints c CROSS JOIN roots r ON r.id = c.root_id LEFT JOIN notes n ON n.checkpoint_id = c.id "
    f"WHERE c.id IN {_MARK}"
)
SELECT_METRICS = (
    "SELECT m.checkpoint_id, t.name, m.value, m.origin_id FROM metrics m "
    f"CROSS JOIN metric_names t ON t.id = m.name_id WHERE m.checkpoint_id IN {_MARK} ORDER BY t.name"
)
SELECT_PARAMS = (
    f"SELECT g.param_set_id, p.name, p.type, p.value, p.origin_id FROM param_set_groups g "
    f"CROSS JOIN params p ON p.param_group_id = g.param_group_id WHERE g.param_set_id IN {_MARK} "
    "ORDER BY g.param_set_id, p.name"
)
SELECT_TAGS = f"SELECT checkpoint_id, key, value FROM tags WHERE checkpoint_id IN {_MARK} ORDER BY checkpoint_id, key"
SELECT_ALIASES = f"SELECT checkpoint_id, name FROM aliases WHERE checkpoint_id IN {_MARK} ORDER BY name"
SELECT_ORIGINS = f"SELECT id, tier, role, path, key, scope FROM origins WHERE id IN {_MARK}"


class Batch:
    """What up to 500 checkpoints are made of: one query for each table."""

    def __init__(self, raw: sqlite3.Connection, ids: Sequence[int]) -> None:
        text = json.dumps(list(ids))
        names = ("root", "note", *_COLUMNS, *FIELD_NAMES)
        self.rows = {row[2]: dict(zip(names, row, strict=True)) for row in raw.execute(SELECT_ROWS, (text,))}
        self._metrics: dict[int, list[tuple[str, float | None, int]]] = {}
        for checkpoint_id, *metric in raw.execute(SELECT_METRICS, (text,)):
            self._metrics.setdefault(checkpoint_id, []).append((metric[0], metric[1], metric[2]))
        self._tags: dict[int, dict[str, str | None]] = {}
        for checkpoint_id, key, value in raw.execute(SELECT_TAGS, (text,)):
            self._tags.setdefault(checkpoint_id, {})[key] = value
        self._aliases: dict[int, list[str]] = {}
        for checkpoint_id, name in raw.execute(SELECT_ALIASES, (text,)):
            self._aliases.setdefault(checkpoint_id, []).append(name)
        self._params: dict[int, list[tuple[str, Scalar, int]]] = {}
        for set_id, name, kind, value, origin_id in raw.execute(SELECT_PARAMS, (self._distinct("param_set_id"),)):
            self._params.setdefault(set_id, []).append((name, scalar(kind, value), origin_id))
        self._provenance: dict[int, dict[str, int]] = {
            set_id: json.loads(origins)
            for set_id, origins in raw.execute(
                f"SELECT id, origins FROM provenance_sets WHERE id IN {_MARK}", (self._distinct("provenance_set_id"),)
            )
        }
        wanted = {origin_id for rows in self._metrics.values() for _, _, origin_id in rows}
        wanted.update(origin_id for params in self._params.values() for _, _, origin_id in params)
        wanted.update(origin_id for origins in self._provenance.values() for origin_id in origins.values())
        self._origins = {row[0]: Origin(*row[1:]) for row in raw.execute(SELECT_ORIGINS, (json.dumps(sorted(wanted)),))}

    def _distinct(self, column: str) -> str:
        return json.dumps(sorted({row[column] for row in self.rows.values() if row[column] is not None}))

    def checkpoint(self, row: Mapping[str, Any]) -> Checkpoint:
        root, path = row["root"], absolute(row["root"], row["rel_path"])
        metrics = self._metrics.get(row["id"], [])
        params = self._params.get(row["param_set_id"], [])
        sources = dict(self._provenance.get(row["provenance_set_id"], {}))
        sources.update((f"metrics.{name}", origin_id) for name, _, origin_id in metrics)
        sources.update((f"params.{name}", origin_id) for name, _, origin_id in params)
        file_name, sidecar = path.rpartition("/")[2], sidecar_path(path).rpartition("/")[2]
        described: dict[int, dict[str, str]] = {}
        for origin_id in sources.values():
            if origin_id not in described and origin_id in self._origins:
                described[origin_id] = self._origins[origin_id].describe(file_name, sidecar)
        values = {name: row[name] for name in FIELD_NAMES}
        values["config_path"] = _absolute(root, row["config_path"])
        return Checkpoint(
            id=row["id"],
            path=path,
            root=root,
            rel_path=row["rel_path"],
            format=row["format"],
            size_bytes=row["size_bytes"],
            mtime=_iso(row["mtime_ns"]),
            state=row["state"],
            source=row["source"],
            stale=bool(row["stale"]),
            **values,
            metrics={name: float("nan") if value is None else value for name, value, _ in metrics},
            params={name: value for name, value, _ in params},
            provenance={name: described[origin_id] for name, origin_id in sources.items() if origin_id in described},
            weights=_weights(row),
            link_target=_absolute(root, row["link_target"]),
            tags=self._tags.get(row["id"], {}),
            aliases=tuple(self._aliases.get(row["id"], ())),
            note=row["note"],
            problems=tuple(json.loads(row["problems"])) if row["problems"] else (),
        )


def _absolute(root: str, stored: str | None) -> str | None:
    return None if stored is None else absolute(root, stored)


def _iso(nanoseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=nanoseconds // 1000)).isoformat()


def _weights(row: Mapping[str, Any]) -> Weights | None:
    if row["num_parameters"] is None:
        return None
    dtypes = json.loads(row["dtypes"] or "{}")
    return Weights(row["num_parameters"], row["num_tensors"] or 0, dtypes, row["weights_fingerprint"])
