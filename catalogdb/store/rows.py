"""Rows of the tables → Checkpoints, a few hundred at once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import groupby
from math import nan
from operator import itemgetter
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
"""In the order in which ``Batch`` takes a row apart."""

_WEIGHTS, _FIELDS, _CONFIG_PATH = (
    2 + _COLUMNS.index("num_parameters"),
    2 + len(_COLUMNS),
    FIELD_NAMES.index("config_path"),
)
_PARAM_SET, _PROVENANCE_SET = (2 + _COLUMNS.index(name) for name in ("param_set_id", "provenance_set_id"))
_MARK = "(SELECT value FROM json_each(?))"
SELECT_ROWS = (
    f"SELECT r.path, n.text, {', '.join(f'c.{name}' for name in (*_COLUMNS, *FIELD_NAMES))} "
    "FROM checkpoints c CROSS JOIN roots r ON r.id = c.root_id LEFT JOIN notes n ON n.checkpoint_id = c.id "
    f"WHERE c.id IN {_MARK}"
)
SELECT_METRICS = f"SELECT checkpoint_id, name_id, value, origin_id FROM metrics WHERE checkpoint_id IN {_MARK}"
SELECT_METRIC_NAMES = f"SELECT id, name FROM metric_names WHERE id IN {_MARK}"
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

    __slots__ = ("_described", "_file", "_parts")

    def __init__(self, parts: Sequence[tuple[str, Mapping[str, Origin]]], path: str) -> None:
        """``parts`` are origins by name, with what stands before each name."""
        self._parts = parts
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
            used = {origin for _, origins in self._parts for origin in origins.values()}
            words = {origin: origin.describe(file, sidecar) for origin in used}
            self._described = {
                prefix + name: words[origin] for prefix, origins in self._parts for name, origin in origins.items()
            }
        return self._described


class ParamSet(NamedTuple):
    """Parameters by their dotted names, and where they come from."""

    values: dict[str, Scalar]
    origins: dict[str, Origin]


class Metrics(NamedTuple):
    """Values by the metrics' names, in the order of these, and where they come from. A missing value is NaN."""

    values: dict[str, float]
    origins: dict[str, Origin]


_NO_PARAMS = ParamSet({}, {})


class Batch:
    """What up to 500 checkpoints are made of: one query for each table, and none for what is remembered."""

    def __init__(self, raw: sqlite3.Connection, ids: Sequence[int], memory: Memory) -> None:
        self._raw = raw
        self._memory = memory
        text = json.dumps(list(ids))
        self._rows = {row[2]: row for row in raw.execute(SELECT_ROWS, (text,))}
        self._metrics = self._read_metrics(text)
        self._tags: dict[int, dict[str, str | None]] = {}
        for checkpoint_id, key, value in raw.execute(SELECT_TAGS, (text,)):
            self._tags.setdefault(checkpoint_id, {})[key] = value
        self._aliases: dict[int, list[str]] = {}
        for checkpoint_id, name in raw.execute(SELECT_ALIASES, (text,)):
            self._aliases.setdefault(checkpoint_id, []).append(name)
        self._params: dict[int, ParamSet] = self._shared("params", _PARAM_SET, self._read_params)
        self._provenance: dict[int, dict[str, Origin]] = self._shared(
            "provenance", _PROVENANCE_SET, self._read_provenance
        )

    def checkpoints(self, ids: Iterable[int]) -> Iterator[Checkpoint]:
        """In the order of ``ids``; those that are gone are left out."""
        return (self._checkpoint(row) for checkpoint_id in ids if (row := self._rows.get(checkpoint_id)) is not None)

    def _shared(self, kind: str, place: int, read: _Read[T]) -> dict[int, T]:
        return _remembered(self._memory, kind, {row[place] for row in self._rows.values()} - {None}, read)

    def _origins(self, ids: Iterable[int]) -> dict[int, Origin]:
        def read(missing: str) -> dict[int, Origin]:
            return {row[0]: Origin(*row[1:]) for row in self._raw.execute(SELECT_ORIGINS, (missing,))}

        return _remembered(self._memory, "origins", set(ids), read)

    def _read_metrics(self, ids: str) -> dict[int, Metrics]:
        def read(missing: str) -> dict[int, str]:
            return dict(self._raw.execute(SELECT_METRIC_NAMES, (missing,)))

        rows = self._raw.execute(SELECT_METRICS, (ids,)).fetchall()
        names = _remembered(self._memory, "metric names", {row[1] for row in rows}, read)
        known = self._origins(row[3] for row in rows)
        found: dict[int, Metrics] = {}
        for checkpoint_id, of_one in groupby(rows, itemgetter(0)):
            listed = sorted([(names[name_id], value, origin_id) for _, name_id, value, origin_id in of_one])
            found[checkpoint_id] = Metrics(
                {name: nan if value is None else value for name, value, _ in listed},
                {name: known[origin_id] for name, _, origin_id in listed},
            )
        return found

    def _read_params(self, ids: str) -> dict[int, ParamSet]:
        rows = self._raw.execute(SELECT_PARAMS, (ids,)).fetchall()
        known = self._origins(row[4] for row in rows)
        sets: dict[int, ParamSet] = {}
        for set_id, group in groupby(rows, itemgetter(0)):
            of_one = list(group)
            sets[set_id] = ParamSet(
                {name: scalar(kind, value) for _, name, kind, value, _ in of_one},
                {name: known[origin_id] for _, name, _, _, origin_id in of_one},
            )
        return sets

    def _read_provenance(self, ids: str) -> dict[int, dict[str, Origin]]:
        sets = {row[0]: json.loads(row[1]) for row in self._raw.execute(SELECT_PROVENANCE, (ids,))}
        known = self._origins(origin_id for fields in sets.values() for origin_id in fields.values())
        return {
            set_id: {name: known[origin_id] for name, origin_id in fields.items() if origin_id in known}
            for set_id, fields in sets.items()
        }

    def _checkpoint(self, row: tuple[Any, ...]) -> Checkpoint:
        root, note, checkpoint_id, rel_path, kind, size_bytes, mtime_ns, state, source, stale = row[:_WEIGHTS]
        *weights, link_target, problems, param_set, provenance = row[_WEIGHTS:_FIELDS]
        known = list(row[_FIELDS:])
        known[_CONFIG_PATH] = _absolute(root, known[_CONFIG_PATH])
        path = absolute(root, rel_path)
        metrics = self._metrics.get(checkpoint_id) or Metrics({}, {})
        params = self._params.get(param_set, _NO_PARAMS)
        origins = (
            ("", self._provenance.get(provenance, {})),
            ("metrics.", metrics.origins),
            ("params.", params.origins),
        )
        values = (
            checkpoint_id,
            path,
            root,
            rel_path,
            kind,
            size_bytes,
            _iso(mtime_ns),
            state,
            source,
            bool(stale),
            *known,
            metrics.values,
            params.values.copy(),
            Provenance(origins, path),
            _weights(*weights),
            _absolute(root, link_target),
            self._tags.get(checkpoint_id, {}),
            tuple(self._aliases.get(checkpoint_id, ())),
            note,
            tuple(json.loads(problems)) if problems else (),
        )
        return Checkpoint(*values)  # in three quarters of the time that it takes by name


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


def _weights(
    num_parameters: int | None, num_tensors: int | None, dtypes: str | None, fingerprint: str | None
) -> Weights | None:
    if num_parameters is None:
        return None
    return Weights(num_parameters, num_tensors or 0, dict(_elements(dtypes or "{}")), fingerprint)


@lru_cache(maxsize=64)
def _elements(dtypes: str) -> tuple[tuple[str, int], ...]:
    """Elements by dtype, of which most models have one of a few."""
    return tuple(json.loads(dtypes).items())
