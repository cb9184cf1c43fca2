"""Rows of the tables → Checkpoints, a few hundred at once."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import nan
from typing import Any, Generic, NamedTuple, TypeVar

from catalogdb.records import FIELD_NAMES, Checkpoint, Origin, Scalar, Weights
from catalogdb.store.functions import scalar
from catalogdb.store.memory import Memory
from catalogdb.store.paths import absolute
from catalogdb.store.provenance import Provenance
from catalogdb.timestamps import iso_of_ns

T = TypeVar("T")
_Read = Callable[[str], dict[int, T]]
"""Ids as a JSON list → what they stand for."""

FEW = 100
"""Checkpoints that are remembered when so many are loaded at once."""
_Arranged = tuple[tuple[str, ...], tuple[int, ...]]
"""The names of values and the ids of their origins, in the same order."""

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
SELECT_METRICS = (
    f"SELECT checkpoint_id, name_id, value, origin_id FROM metrics WHERE checkpoint_id IN {_MARK} ORDER BY 1, 2"
)
SELECT_METRIC_NAMES = f"SELECT id, name FROM metric_names WHERE id IN {_MARK}"
SELECT_GROUPS = f"SELECT param_set_id, param_group_id FROM param_set_groups WHERE param_set_id IN {_MARK} ORDER BY 1, 2"
SELECT_PARAMS = (
    f"SELECT param_group_id, name, type, value, origin_id FROM params WHERE param_group_id IN {_MARK} ORDER BY 1, 2"
)
SELECT_TAGS = f"SELECT checkpoint_id, key, value FROM tags WHERE checkpoint_id IN {_MARK} ORDER BY 1, 2"
SELECT_ALIASES = f"SELECT checkpoint_id, name FROM aliases WHERE checkpoint_id IN {_MARK} ORDER BY 1, 2"
SELECT_PROVENANCE = f"SELECT id, origins FROM provenance_sets WHERE id IN {_MARK}"
SELECT_ORIGINS = f"SELECT id, tier, role, path, key, scope FROM origins WHERE id IN {_MARK}"


@dataclass(frozen=True, slots=True)
class Sourced(Generic[T]):
    """Parameters, or metrics, by their names, and where they come from. A metric's missing value is NaN."""

    values: dict[str, T]
    origins: dict[str, Origin]


class Group(NamedTuple):
    """Parameters that several sets share, in columns."""

    names: tuple[str, ...]
    values: tuple[Scalar, ...]
    origin_ids: tuple[int, ...]


class Arrangement(NamedTuple):
    """How named values are put in order: ``places`` are where they stand before. Most checkpoints share a few of these:
    all whose values have the same names and come from the same places.

    What the user changed comes first, then it goes by name.
    """

    names: tuple[str, ...]
    places: tuple[int, ...]
    origins: dict[str, Origin]

    @classmethod
    def make(cls, names: Sequence[str], origins: Sequence[Origin]) -> Arrangement:
        places = sorted(range(len(names)), key=lambda place: (not _is_override(origins[place]), names[place]))
        ordered = tuple(names[place] for place in places)
        return cls(ordered, tuple(places), {names[place]: origins[place] for place in places})

    def apply(self, values: Sequence[T]) -> Sourced[T]:
        return Sourced(dict(zip(self.names, map(values.__getitem__, self.places), strict=True)), self.origins)


class Parts(NamedTuple):
    """What a checkpoint is made of. Others are made of the same objects, so that each has copies of what can change."""

    fields: tuple[Any, ...]
    """Those of a Checkpoint before ``metrics``, in its order."""
    metrics: Sourced[float]
    params: Sourced[Scalar]
    origins: Mapping[str, Origin]
    weights: tuple[int, int, str, str | None] | None
    link_target: str | None
    tags: dict[str, str | None]
    aliases: tuple[str, ...]
    note: str | None
    problems: tuple[str, ...]

    def checkpoint(self) -> Checkpoint:
        origins = (("", self.origins), ("metrics.", self.metrics.origins), ("params.", self.params.origins))
        values = (
            *self.fields,
            self.metrics.values.copy(),
            self.params.values.copy(),
            Provenance(origins, self.fields[1]),
            None if self.weights is None else _weights(*self.weights),
            self.link_target,
            self.tags.copy(),
            self.aliases,
            self.note,
            self.problems,
        )
        return Checkpoint(*values)  # in three quarters of the time that it takes by name


_EMPTY = Group((), (), ())
_NO_METRICS: Sourced[float] = Sourced({}, {})
_NO_PARAMS: Sourced[Scalar] = Sourced({}, {})


def load(raw: sqlite3.Connection, ids: Sequence[int], memory: Memory) -> Iterator[Checkpoint]:
    """Up to 500 checkpoints in the order of ``ids``; those that are gone are left out.

    A few are remembered, for the question that is asked again; many would push out what is.
    """

    def read(listed: str) -> dict[int, Parts]:
        return Batch(raw, listed, memory).parts()

    found = _remembered(memory, "checkpoints", set(ids), read) if len(ids) <= FEW else read(json.dumps(list(ids)))
    return (parts.checkpoint() for checkpoint_id in ids if (parts := found.get(checkpoint_id)) is not None)


class Batch:
    """Rows by a JSON list of their ids: one query for each table, and none for what is remembered."""

    def __init__(self, raw: sqlite3.Connection, ids: str, memory: Memory) -> None:
        self._raw = raw
        self._memory = memory
        self._rows = raw.execute(SELECT_ROWS, (ids,)).fetchall()
        self._metrics = self._read_metrics(ids)
        self._tags = {key: dict(zip(*columns, strict=True)) for key, columns in self._by_id(SELECT_TAGS, ids).items()}
        self._aliases = {key: names for key, (names,) in self._by_id(SELECT_ALIASES, ids).items()}
        self._params: dict[int, Sourced[Scalar]] = self._shared("params", _PARAM_SET, self._read_params)
        self._provenance: dict[int, dict[str, Origin]] = self._shared(
            "provenance", _PROVENANCE_SET, self._read_provenance
        )

    def parts(self) -> dict[int, Parts]:
        """By the ids of those that are there."""
        return {row[2]: self._parts(row) for row in self._rows}

    def _by_id(self, sql: str, ids: str) -> dict[int, list[tuple[Any, ...]]]:
        """The columns of a statement by the id that is the first of them, in whose order its rows are."""
        rows = self._raw.execute(sql, (ids,)).fetchall()
        if not rows:
            return {}
        found: dict[int, list[tuple[Any, ...]]] = {}
        keys, *columns = zip(*rows, strict=True)
        end = 0
        while end < len(keys):
            start, end = end, bisect_right(keys, keys[end], end)
            found[keys[start]] = [column[start:end] for column in columns]
        return found

    def _shared(self, kind: str, place: int, read: _Read[T]) -> dict[int, T]:
        return _remembered(self._memory, kind, {row[place] for row in self._rows} - {None}, read)

    def _origins(self, ids: Iterable[int]) -> dict[int, Origin]:
        def read(missing: str) -> dict[int, Origin]:
            return {row[0]: Origin(*row[1:]) for row in self._raw.execute(SELECT_ORIGINS, (missing,))}

        return _remembered(self._memory, "origins", set(ids), read)

    def _arrangements(self, keys: Collection[_Arranged]) -> dict[_Arranged, Arrangement]:
        known = self._memory.of("arrangements")
        missing = {key for key in keys if key not in known}
        if missing:
            origins = self._origins(origin_id for _, origin_ids in missing for origin_id in origin_ids)
            known.update(
                (key, Arrangement.make(key[0], [origins[origin_id] for origin_id in key[1]])) for key in missing
            )
        return known

    def _metric_names(self, sets: set[tuple[int, ...]]) -> dict[tuple[int, ...], tuple[str, ...]]:
        def read(missing: str) -> dict[int, str]:
            return dict(self._raw.execute(SELECT_METRIC_NAMES, (missing,)))

        names = _remembered(self._memory, "metric names", {name_id for ids in sets for name_id in ids}, read)
        return {ids: tuple(names[name_id] for name_id in ids) for ids in sets}

    def _read_metrics(self, ids: str) -> dict[int, Sourced[float]]:
        parts = self._by_id(SELECT_METRICS, ids)
        named = self._metric_names({columns[0] for columns in parts.values()})
        known = self._arrangements([(named[name_ids], origin_ids) for name_ids, _, origin_ids in parts.values()])
        found: dict[int, Sourced[float]] = {}
        for checkpoint_id, (name_ids, values, origin_ids) in parts.items():
            floats = values if None not in values else [nan if value is None else value for value in values]
            found[checkpoint_id] = known[named[name_ids], origin_ids].apply(floats)
        return found

    def _read_params(self, ids: str) -> dict[int, Sourced[Scalar]]:
        def read(missing: str) -> dict[int, Group]:
            return {
                group_id: Group(names, tuple(map(scalar, kinds, values)), origin_ids)
                for group_id, (names, kinds, values, origin_ids) in self._by_id(SELECT_PARAMS, missing).items()
            }

        sets = {set_id: group_ids for set_id, (group_ids,) in self._by_id(SELECT_GROUPS, ids).items()}
        groups = _remembered(
            self._memory, "param groups", {each for group_ids in sets.values() for each in group_ids}, read
        )
        whole = {
            set_id: Group(
                *(sum(column, ()) for column in zip(*(groups.get(each, _EMPTY) for each in group_ids), strict=True))
            )
            for set_id, group_ids in sets.items()
        }
        known = self._arrangements([(group.names, group.origin_ids) for group in whole.values()])
        return {set_id: known[group.names, group.origin_ids].apply(group.values) for set_id, group in whole.items()}

    def _read_provenance(self, ids: str) -> dict[int, dict[str, Origin]]:
        sets = {row[0]: json.loads(row[1]) for row in self._raw.execute(SELECT_PROVENANCE, (ids,))}
        known = self._origins(origin_id for fields in sets.values() for origin_id in fields.values())
        return {
            set_id: {name: known[origin_id] for name, origin_id in fields.items() if origin_id in known}
            for set_id, fields in sets.items()
        }

    def _parts(self, row: tuple[Any, ...]) -> Parts:
        root, note, checkpoint_id, rel_path, kind, size_bytes, mtime_ns, state, source, stale = row[:_WEIGHTS]
        num_parameters, num_tensors, dtypes, weights, link_target, problems, param_set, provenance = row[
            _WEIGHTS:_FIELDS
        ]
        known = list(row[_FIELDS:])
        known[_CONFIG_PATH] = _absolute(root, known[_CONFIG_PATH])
        path = absolute(root, rel_path)
        first = (checkpoint_id, path, root, rel_path, kind, size_bytes, iso_of_ns(mtime_ns), state, source, bool(stale))
        return Parts(
            (*first, *known),
            self._metrics.get(checkpoint_id, _NO_METRICS),
            self._params.get(param_set, _NO_PARAMS),
            self._provenance.get(provenance, {}),
            None if num_parameters is None else (num_parameters, num_tensors or 0, dtypes or "{}", weights),
            _absolute(root, link_target),
            self._tags.get(checkpoint_id, {}),
            self._aliases.get(checkpoint_id, ()),
            note,
            tuple(json.loads(problems)) if problems else (),
        )


def _is_override(origin: Origin) -> bool:
    return origin.role == "params" and origin.path.endswith(".hydra/overrides.yaml")


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


def _weights(num_parameters: int, num_tensors: int, dtypes: str, fingerprint: str | None) -> Weights:
    return Weights(num_parameters, num_tensors, dict(_elements(dtypes)), fingerprint)


@lru_cache(maxsize=64)
def _elements(dtypes: str) -> tuple[tuple[str, int], ...]:
    """Elements by dtype, of which most models have one of a few."""
    return tuple(json.loads(dtypes).items())
