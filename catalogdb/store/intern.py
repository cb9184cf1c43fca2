"""Content that many rows share, stored once: metric names, origins, provenance and parameter sets."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection

from catalogdb.records import Origin, ParamGroup, Scalar

INT64_MAX = 2**63 - 1


class Interned:
    """Ids of shared content, remembered as long as the transaction that made them stands."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._metric_names: dict[str, int] = {}
        self._origins: dict[Origin, int] = {}
        self._provenance: dict[tuple[tuple[str, Origin], ...], int] = {}
        self._param_groups: dict[ParamGroup, int] = {}
        self._param_sets: dict[tuple[ParamGroup, ...], int] = {}

    def metric_name(self, name: str) -> int:
        if name not in self._metric_names:
            self._metric_names[name] = self._id_of("metric_names", {"name": name})
        return self._metric_names[name]

    def origin(self, origin: Origin) -> int:
        found = self._origins.get(origin)
        if found is None:
            found = self._origins[origin] = self._id_of("origins", origin._asdict())
        return found

    def provenance_set(self, origins: Mapping[str, Origin]) -> int:
        key = tuple(origins.items())
        found = self._provenance.get(key)
        if found is None:
            text = json.dumps({field: self.origin(origin) for field, origin in sorted(origins.items())})
            found = self._id_of("provenance_sets", {"digest": _digest(text)}, {"origins": text})
            self._provenance[key] = found
        return found

    def param_set(self, groups: tuple[ParamGroup, ...]) -> int | None:
        """None for no parameters at all."""
        if not groups:
            return None
        found = self._param_sets.get(groups)
        if found is None:
            found = self._param_sets[groups] = self._store_set([self._group(group) for group in groups])
        return found

    def _store_set(self, groups: list[int]) -> int:
        digest = _digest(repr(sorted(groups)))
        set_id = self._id_of("param_sets", {"digest": digest})
        self._connection.exec_driver_sql(
            "INSERT INTO param_set_groups (param_set_id, param_group_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(set_id, group) for group in groups],
        )
        return set_id

    def _group(self, group: ParamGroup) -> int:
        found = self._param_groups.get(group)
        if found is None:
            found = self._param_groups[group] = self._id_of("param_groups", {"digest": group.digest})
            self._connection.exec_driver_sql(
                "INSERT INTO params (param_group_id, name, type, value, origin_id) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                [(found, param.name, *typed(param.value), self.origin(param.origin)) for param in group.params],
            )
        return found

    def _id_of(self, table: str, key: Mapping[str, Any], rest: Mapping[str, Any] | None = None) -> int:
        values = {**key, **(rest or {})}
        self._connection.exec_driver_sql(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) ON CONFLICT DO NOTHING",
            tuple(values.values()),
        )
        condition = " AND ".join(f"{column} = ?" for column in key)
        row = self._connection.exec_driver_sql(f"SELECT id FROM {table} WHERE {condition}", tuple(key.values())).one()
        return int(row[0])


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
