"""Rows of the tables → Checkpoints, a few hundred at once."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import nan
from typing import Any, NamedTuple

from catalogdb.records import FIELD_NAMES, Checkpoint, Origin, Scalar
from catalogdb.store.functions import scalar
from catalogdb.store.memory import Memory
from catalogdb.store.parts import Arrangement, Parts, Sourced
from catalogdb.store.paths import absolute
from catalogdb.timestamps import iso_of_ns

_Arranged = tuple[tuple[str, ...], tuple[int, ...]]
"""The names of values and the ids of their origins, in the order in which they are stored."""

FEW = 100
"""Checkpoints that are remembered when so many, or fewer, are loaded at once."""

_COLUMNS = (
    "c.id",
    "r.path",
    "c.rel_path",
    "c.format",
    "c.size_bytes",
    "c.mtime_ns",
    "c.state",
    "c.source",
    "c.stale",
    "c.num_parameters",
    "c.num_tensors",
    "c.dtypes",
    "c.weights_fingerprint",
    "c.link_target",
    "n.text",
    "c.problems",
    "c.param_set_id",
    "c.provenance_set_id",
    *(f"c.{name}" for name in FIELD_NAMES),
)
"""In the order in which ``Batch._parts`` takes a row apart."""

_PARAM_SET, _PROVENANCE_SET = _COLUMNS.index("c.param_set_id"), _COLUMNS.index("c.provenance_set_id")
_CONFIG_PATH = FIELD_NAMES.index("config_path")
_MARK = "(SELECT value FROM json_each(?))"
SELECT_ROWS = (
    f"SELECT {', '.join(_COLUMNS)} FROM checkpoints c CROSS JOIN roots r ON r.id = c.root_id "
    f"LEFT JOIN notes n ON n.checkpoint_id = c.id WHERE c.id IN {_MARK}"
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


class Group(NamedTuple):
    """Parameters that several sets share, in columns."""

    names: tuple[str, ...]
    values: tuple[Scalar, ...]
    origin_ids: tuple[int, ...]

    @classmethod
    def joined(cls, groups: Iterable[Group]) -> Group:
        """One or more groups as one."""
        return cls(*(tuple(chain.from_iterable(column)) for column in zip(*groups, strict=True)))


_EMPTY = Group((), (), ())
_NO_METRICS: Sourced[float] = Sourced({}, {})
_NO_PARAMS: Sourced[Scalar] = Sourced({}, {})


def load(raw: sqlite3.Connection, ids: Sequence[int], memory: Memory) -> Iterator[Checkpoint]:
    """Up to 500 checkpoints in the order of ``ids``; those that are gone are left out.

    A few are remembered, for the question that is asked again; many would push out what is.
    """

    def read(wanted: set[int]) -> dict[int, Parts]:
        return Batch(raw, wanted, memory).parts()

    wanted = set(ids)
    found = memory.get_all("checkpoints", wanted, read) if len(ids) <= FEW else read(wanted)
    return (parts.checkpoint() for checkpoint_id in ids if (parts := found.get(checkpoint_id)) is not None)


class Batch:
    """Rows by their ids: one query for each table, and none for what is remembered."""

    def __init__(self, raw: sqlite3.Connection, ids: set[int], memory: Memory) -> None:
        self._raw = raw
        self._memory = memory
        self._rows = self._select(SELECT_ROWS, ids)
        self._metrics = self._read_metrics(ids)
        self._tags = {key: dict(zip(*columns, strict=True)) for key, columns in self._by_id(SELECT_TAGS, ids).items()}
        self._aliases = {key: names for key, (names,) in self._by_id(SELECT_ALIASES, ids).items()}
        self._params = memory.get_all("params", self._distinct(_PARAM_SET), self._read_params)
        self._provenance = memory.get_all("provenance", self._distinct(_PROVENANCE_SET), self._read_provenance)

    def parts(self) -> dict[int, Parts]:
        """By the ids of those that are there."""
        return {row[0]: self._parts(row) for row in self._rows}

    def _select(self, sql: str, ids: Iterable[int]) -> list[tuple[Any, ...]]:
        return self._raw.execute(sql, (json.dumps(sorted(ids)),)).fetchall()

    def _by_id(self, sql: str, ids: Iterable[int]) -> dict[int, list[tuple[Any, ...]]]:
        """The columns of a statement by the id that is the first of them, in whose order its rows are."""
        rows = self._select(sql, ids)
        if not rows:
            return {}
        found: dict[int, list[tuple[Any, ...]]] = {}
        keys, *columns = zip(*rows, strict=True)
        end = 0
        while end < len(keys):
            start, end = end, bisect_right(keys, keys[end], end)
            found[keys[start]] = [column[start:end] for column in columns]
        return found

    def _distinct(self, place: int) -> set[int]:
        return {row[place] for row in self._rows} - {None}

    def _origins(self, ids: Iterable[int]) -> dict[int, Origin]:
        return self._memory.get_all("origins", set(ids), self._read_origins)

    def _read_origins(self, ids: set[int]) -> dict[int, Origin]:
        return {row[0]: Origin(*row[1:]) for row in self._select(SELECT_ORIGINS, ids)}

    def _arrangements(self, keys: set[_Arranged]) -> dict[_Arranged, Arrangement]:
        def make(missing: set[_Arranged]) -> dict[_Arranged, Arrangement]:
            origins = self._origins(origin_id for _, origin_ids in missing for origin_id in origin_ids)
            return {
                (names, origin_ids): Arrangement.make(names, [origins[origin_id] for origin_id in origin_ids])
                for names, origin_ids in missing
            }

        return self._memory.get_all("arrangements", keys, make)

    def _read_metrics(self, ids: set[int]) -> dict[int, Sourced[float]]:
        stored = self._by_id(SELECT_METRICS, ids)
        named = self._metric_names({name_ids for name_ids, _, _ in stored.values()})
        known = self._arrangements({(named[name_ids], origin_ids) for name_ids, _, origin_ids in stored.values()})
        found: dict[int, Sourced[float]] = {}
        for checkpoint_id, (name_ids, values, origin_ids) in stored.items():
            floats = values if None not in values else [nan if value is None else value for value in values]
            found[checkpoint_id] = known[named[name_ids], origin_ids].apply(floats)
        return found

    def _metric_names(self, sets: set[tuple[int, ...]]) -> dict[tuple[int, ...], tuple[str, ...]]:
        def read(missing: set[int]) -> dict[int, str]:
            return dict(self._select(SELECT_METRIC_NAMES, missing))

        names = self._memory.get_all("metric names", set(chain.from_iterable(sets)), read)
        return {ids: tuple(names[name_id] for name_id in ids) for ids in sets}

    def _read_params(self, set_ids: set[int]) -> dict[int, Sourced[Scalar]]:
        sets = {set_id: group_ids for set_id, (group_ids,) in self._by_id(SELECT_GROUPS, set_ids).items()}
        groups = self._memory.get_all("param groups", set(chain.from_iterable(sets.values())), self._read_groups)
        whole = {
            set_id: Group.joined(groups.get(group_id, _EMPTY) for group_id in group_ids)
            for set_id, group_ids in sets.items()
        }
        known = self._arrangements({(group.names, group.origin_ids) for group in whole.values()})
        return {set_id: known[group.names, group.origin_ids].apply(group.values) for set_id, group in whole.items()}

    def _read_groups(self, ids: set[int]) -> dict[int, Group]:
        return {
            group_id: Group(names, tuple(map(scalar, kinds, values)), origin_ids)
            for group_id, (names, kinds, values, origin_ids) in self._by_id(SELECT_PARAMS, ids).items()
        }

    def _read_provenance(self, ids: set[int]) -> dict[int, dict[str, Origin]]:
        sets = {set_id: json.loads(origins) for set_id, origins in self._select(SELECT_PROVENANCE, ids)}
        known = self._origins(origin_id for fields in sets.values() for origin_id in fields.values())
        return {
            set_id: {name: known[origin_id] for name, origin_id in fields.items() if origin_id in known}
            for set_id, fields in sets.items()
        }

    def _parts(self, row: tuple[Any, ...]) -> Parts:
        checkpoint_id, root, rel_path, kind, size_bytes, mtime_ns, state, source, stale, *rest = row
        num_parameters, num_tensors, dtypes, fingerprint, *rest = rest
        link_target, note, problems, param_set, provenance_set, *known = rest
        known[_CONFIG_PATH] = _absolute(root, known[_CONFIG_PATH])
        path = absolute(root, rel_path)
        own = (checkpoint_id, path, root, rel_path, kind, size_bytes, iso_of_ns(mtime_ns), state, source, bool(stale))
        return Parts(
            (*own, *known),
            self._metrics.get(checkpoint_id, _NO_METRICS),
            self._params.get(param_set, _NO_PARAMS),
            self._provenance.get(provenance_set, {}),
            None if num_parameters is None else (num_parameters, num_tensors or 0, dtypes or "{}", fingerprint),
            _absolute(root, link_target),
            self._tags.get(checkpoint_id, {}),
            self._aliases.get(checkpoint_id, ()),
            note,
            tuple(json.loads(problems)) if problems else (),
        )


def _absolute(root: str, stored: str | None) -> str | None:
    return None if stored is None else absolute(root, stored)
