"""Content that many rows share, stored once: metric names, origins, provenance and parameter sets."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, TypeVar

from catalogdb.records import Origin, ParamGroup, Scalar

K = TypeVar("K")

INT64_MAX = 2**63 - 1


REMEMBERED = 4096
"""Entries a memory may grow to before it starts anew: a large tree's configs needn't all be held."""


class Interned:
    """Ids of shared content, remembered as long as the transaction that made them stands.

    Works on the driver's connection, inside a transaction that holds the write lock: a million small statements.
    """

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._metric_names: dict[str, int] = {}
        self._origins: dict[Origin, int] = {}
        self._provenance: dict[tuple[tuple[str, Origin], ...], int] = {}
        self._param_groups: dict[ParamGroup, int] = {}
        self._param_sets: dict[tuple[ParamGroup, ...], int] = {}

    def metric_name(self, name: str) -> int:
        if name not in self._metric_names:
            _remember(self._metric_names, name, self._id_of("metric_names", {"name": name}))
        return self._metric_names[name]

    def origin(self, origin: Origin) -> int:
        found = self._origins.get(origin)
        if found is None:
            found = self._id_of("origins", origin._asdict())
            _remember(self._origins, origin, found)
        return found

    def provenance_set(self, origins: Mapping[str, Origin]) -> int:
        key = tuple(origins.items())
        found = self._provenance.get(key)
        if found is None:
            text = json.dumps({field: self.origin(origin) for field, origin in sorted(origins.items())})
            found = self._id_of("provenance_sets", {"digest": _digest(text)}, {"origins": text})
            _remember(self._provenance, key, found)
        return found

    def param_set(self, groups: tuple[ParamGroup, ...]) -> int | None:
        """None for no parameters at all."""
        if not groups:
            return None
        found = self._param_sets.get(groups)
        if found is None:
            found = self._store_set([self._group(group) for group in groups])
            _remember(self._param_sets, groups, found)
        return found

    def _store_set(self, groups: list[int]) -> int:
        digest = _digest(repr(sorted(groups)))
        set_id = self._id_of("param_sets", {"digest": digest})
        self._raw.executemany(
            "INSERT INTO param_set_groups (param_set_id, param_group_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(set_id, group) for group in groups],
        )
        return set_id

    def _group(self, group: ParamGroup) -> int:
        found = self._param_groups.get(group)
        if found is None:
            found = self._id_of("param_groups", {"digest": group.digest})
            _remember(self._param_groups, group, found)
            self._raw.executemany(
                "INSERT INTO params (param_group_id, name, type, value, origin_id) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                [(found, param.name, *typed(param.value), self.origin(param.origin)) for param in group.params],
            )
        return found

    def _id_of(self, table: str, key: Mapping[str, Any], rest: Mapping[str, Any] | None = None) -> int:
        values = {**key, **(rest or {})}
        condition = " AND ".join(f"{column} = ?" for column in key)
        known = self._raw.execute(f"SELECT id FROM {table} WHERE {condition}", tuple(key.values())).fetchone()
        if known is None:
            marks = ", ".join("?" * len(values))
            insert = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks}) RETURNING id"
            known = self._raw.execute(insert, tuple(values.values())).fetchone()
        return int(known[0])


def _remember(memory: dict[K, int], key: K, number: int) -> None:
    if len(memory) >= REMEMBERED:
        memory.clear()
    memory[key] = number


def typed(value: Scalar) -> tuple[str, int | float | str | None]:
    """A parameter's type and its value as stored: NaN is null, an int beyond 64 bits is its digits."""
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return "bool", int(value)
    if isinstance(value, int):
        return "int", value if -INT64_MAX <= value <= INT64_MAX else str(value)
    if isinstance(value, float):
        return "float", None if math.isnan(value) else value
    return "str", value


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
