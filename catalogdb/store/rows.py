"""Rows of the tables → Checkpoints, a few hundred at once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, TypeVar

from catalogdb.records import FIELD_NAMES, Checkpoint, Origin, Scalar, Weights, sidecar_path
from catalogdb.store.functions import scalar
from catalogdb.store.memory import Memory
from catalogdb.store.paths import absolute

T = TypeVar("T")
_Read = Callable[[str], dict[int, T]]
"""Ids as a JSON list → what they stand for."""

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
_PARAM_SET, _PROVENANCE_SET = (2 + _COLUMNS.index(name) for name in ("param_set_id", "provenance_set_id"))
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
_OVERRIDDEN = "o.role = 'params' AND o.path LIKE '%.hydra/overrides.yaml'"
SELECT_PARAMS = (
    "SELECT g.param_set_id, p.name, p.type, p.value, p.origin_id FROM param_set_groups g "
    "CROSS JOIN params p ON p.param_group_id = g.param_group_id CROSS JOIN origins o ON o.id = p.origin_id "
    f"WHERE g.param_set_id IN {_MARK} ORDER BY g.param_set_id, {_OVERRIDDEN} DESC, p.name"
)
"""What the user changed comes first."""

SELECT_TAGS = f"SELECT checkpoint_id, key, value FROM tags WHERE checkpoint_id IN {_MARK} ORDER BY checkpoint_id, key"
SELECT_ALIASES = f"SELECT checkpoint_id, name FROM aliases WHERE checkpoint_id IN {_MARK} ORDER BY name"
SELECT_PROVENANCE = f"SELECT id, origins FROM provenance_sets WHERE id IN {_MARK}"
SELECT_ORIGINS = f"SELECT id, tier, role, path, key, scope FROM origins WHERE id IN {_MARK}"


class Provenance(Mapping[str, Mapping[str, str]]):
    """Where each value of a checkpoint comes from, worded when it is first looked at: few who ask for paths do."""

    __slots__ = ("_described", "_file", "_ids", "_origins")

    def __init__(self, ids: Sequence[Mapping[str, int]], origins: Mapping[int, Origin], path: str) -> None:
        self._ids = ids
        self._origins = origins
        self._file = path
        self._described: dict[str, dict[str, str]] | None = None

    def __getitem__(self, name: str) -> Mapping[str, str]:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> dict[str, dict[str, str]]:
        if self._described is None:
            file, sidecar = self._file.rpartition("/")[2], sidecar_path(self._file).rpartition("/")[2]
            used = {origin_id for part in self._ids for origin_id in part.values()}
            words = {key: self._origins[key].describe(file, sidecar) for key in used if key in self._origins}
            self._described = {
                name: words[origin_id] for part in self._ids for name, origin_id in part.items() if origin_id in words
            }
        return self._described


class ParamSet(NamedTuple):
    """Parameters by their dotted names, and the ids of their origins."""

    values: dict[str, Scalar]
    origins: dict[str, int]


_NO_PARAMS = ParamSet({}, {})


class Batch:
    """What up to 500 checkpoints are made of: one query for each table, and none for what is remembered."""

    def __init__(self, raw: sqlite3.Connection, ids: Sequence[int], memory: Memory) -> None:
        self._raw = raw
        text = json.dumps(list(ids))
        self._rows = {row[2]: row for row in raw.execute(SELECT_ROWS, (text,))}
        self._metrics: dict[int, list[tuple[str, float | None, int]]] = {}
        for checkpoint_id, name, value, origin_id in raw.execute(SELECT_METRICS, (text,)):
            self._metrics.setdefault(checkpoint_id, []).append((name, value, origin_id))
        self._tags: dict[int, dict[str, str | None]] = {}
        for checkpoint_id, key, value in raw.execute(SELECT_TAGS, (text,)):
            self._tags.setdefault(checkpoint_id, {})[key] = value
        self._aliases: dict[int, list[str]] = {}
        for checkpoint_id, name in raw.execute(SELECT_ALIASES, (text,)):
            self._aliases.setdefault(checkpoint_id, []).append(name)
        self._params: dict[int, ParamSet] = self._known(memory, "params", _PARAM_SET, self._read_params)
        self._provenance: dict[int, dict[str, int]] = self._known(
            memory, "provenance", _PROVENANCE_SET, self._read_provenance
        )
        wanted = {origin_id for rows in self._metrics.values() for _, _, origin_id in rows}
        for params in self._params.values():
            wanted.update(params.origins.values())
        for provenance in self._provenance.values():
            wanted.update(provenance.values())
        self._origins: dict[int, Origin] = _remembered(memory, "origins", wanted, self._read_origins)

    def checkpoints(self, ids: Iterable[int]) -> Iterator[Checkpoint]:
        """In the order of ``ids``; those that are gone are left out."""
        return (self._checkpoint(row) for checkpoint_id in ids if (row := self._rows.get(checkpoint_id)) is not None)

    def _known(self, memory: Memory, kind: str, place: int, read: _Read[T]) -> dict[int, T]:
        return _remembered(memory, kind, {row[place] for row in self._rows.values()} - {None}, read)

    def _read_params(self, ids: str) -> dict[int, ParamSet]:
        sets: dict[int, ParamSet] = {}
        for set_id, name, kind, value, origin_id in self._raw.execute(SELECT_PARAMS, (ids,)):
            values, origins = sets.setdefault(set_id, ParamSet({}, {}))
            values[name] = scalar(kind, value)
            origins[name] = origin_id
        return sets

    def _read_provenance(self, ids: str) -> dict[int, dict[str, int]]:
        return {set_id: json.loads(origins) for set_id, origins in self._raw.execute(SELECT_PROVENANCE, (ids,))}

    def _read_origins(self, ids: str) -> dict[int, Origin]:
        return {row[0]: Origin(*row[1:]) for row in self._raw.execute(SELECT_ORIGINS, (ids,))}

    def _checkpoint(self, row: tuple[Any, ...]) -> Checkpoint:
        root, note = row[:2]
        values = dict(zip(_COLUMNS, row[2:], strict=False))
        path = absolute(root, values["rel_path"])
        metrics = self._metrics.get(row[2], ())
        params = self._params.get(values["param_set_id"], _NO_PARAMS)
        origins = (
            self._provenance.get(values["provenance_set_id"], {}),
            {f"metrics.{name}": origin_id for name, _, origin_id in metrics},
            {f"params.{name}": origin_id for name, origin_id in params.origins.items()},
        )
        fields = dict(zip(FIELD_NAMES, row[2 + len(_COLUMNS) :], strict=True))
        fields["config_path"] = _absolute(root, fields["config_path"])
        return Checkpoint(
            id=row[2],
            path=path,
            root=root,
            rel_path=values["rel_path"],
            format=values["format"],
            size_bytes=values["size_bytes"],
            mtime=_iso(values["mtime_ns"]),
            state=values["state"],
            source=values["source"],
            stale=bool(values["stale"]),
            **fields,
            metrics={name: float("nan") if value is None else value for name, value, _ in metrics},
            params=params.values.copy(),
            provenance=Provenance(origins, self._origins, path),
            weights=_weights(values),
            link_target=_absolute(root, values["link_target"]),
            tags=self._tags.get(row[2], {}),
            aliases=tuple(self._aliases.get(row[2], ())),
            note=note,
            problems=tuple(json.loads(values["problems"])) if values["problems"] else (),
        )


def _remembered(memory: Memory, kind: str, ids: set[int], read: _Read[T]) -> dict[int, T]:
    """Shared content by id, which never changes while the file's state doesn't."""
    known = memory.of(kind)
    found = {key: known[key] for key in ids if key in known}
    if len(found) < len(ids):
        new = read(json.dumps(sorted(ids - found.keys())))
        known.update(new)
        found.update(new)
    return found


def _absolute(root: str, stored: str | None) -> str | None:
    return None if stored is None else absolute(root, stored)


def _iso(nanoseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=nanoseconds // 1000)).isoformat()


def _weights(row: Mapping[str, Any]) -> Weights | None:
    if row["num_parameters"] is None:
        return None
    dtypes = json.loads(row["dtypes"] or "{}")
    return Weights(row["num_parameters"], row["num_tensors"] or 0, dtypes, row["weights_fingerprint"])
