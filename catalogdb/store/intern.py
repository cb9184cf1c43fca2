"""Content that many rows share, stored once: metric names, origins, provenance and parameter sets."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import chain
from typing import Any, TypeVar

from catalogdb.records import Origin, ParamGroup, Scalar, Shape

K = TypeVar("K")
V = TypeVar("V")

INT64_MAX = 2**63 - 1


_ORIGIN = ", ".join(Origin._fields)

REMEMBERED = 1024
"""Entries a memory may grow to before it starts anew: a large tree's configs needn't all be held."""


class Interned:
    """Ids of shared content, remembered as long as the transaction that made them stands.

    Works on the driver's connection, inside a transaction that holds the write lock: a million small statements.
    """

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._metric_names: dict[str, int] = {}
        self._origins: dict[Origin, int] = {}
        self._provenance: dict[Shape, int] = {}
        self._metric_keys: dict[Shape, list[tuple[int, int]]] = {}
        self._keys_of_params: dict[Shape, list[tuple[str, int]]] = {}
        self._param_groups: dict[ParamGroup, int] = {}
        self._param_sets: dict[tuple[ParamGroup, ...], int] = {}

    def metric_name(self, name: str) -> int:
        if name not in self._metric_names:
            _remember(self._metric_names, name, self._id_of("metric_names", {"name": name}))
        return self._metric_names[name]

    def know_origins(self, shapes: Iterable[Shape]) -> None:
        """Gives all origins of a batch their ids, in a few statements: what is written of it refers to them."""
        if len(self._origins) > REMEMBERED:
            self._origins.clear()
        distinct = {id(origin): origin for shape in shapes for origin in shape.origins}
        new = [origin for origin in dict.fromkeys(distinct.values()) if origin not in self._origins]
        for some in _chunks(new, 100):
            marks = ", ".join(["(?, ?, ?, ?, ?)"] * len(some))
            for *columns, number in self._raw.execute(
                f"SELECT {_ORIGIN}, id FROM origins WHERE ({_ORIGIN}) IN (VALUES {marks})", [*chain(*some)]
            ):
                self._origins[Origin(*columns)] = number
        made = [origin for origin in new if origin not in self._origins]
        first = self._next_id("origins")
        self._raw.executemany(
            f"INSERT INTO origins (id, {_ORIGIN}) VALUES (?, ?, ?, ?, ?, ?)",
            [(first + place, *origin) for place, origin in enumerate(made)],
        )
        self._origins.update((origin, first + place) for place, origin in enumerate(made))

    def metric_keys(self, shape: Shape) -> list[tuple[int, int]]:
        """The ids of name and origin of each metric."""
        found = self._metric_keys.get(shape)
        if found is None:
            pairs = zip(shape.names, shape.origins, strict=True)
            found = [(self.metric_name(name), self._origins[origin]) for name, origin in pairs]
            _remember(self._metric_keys, shape, found)
        return found

    def provenance_sets(self, wanted: Iterable[Shape]) -> dict[Shape, int]:
        """The ids of a batch's provenance sets; new ones are written in one statement."""
        shapes = dict.fromkeys(wanted)
        found = {shape: self._provenance[shape] for shape in shapes if shape in self._provenance}
        new = [shape for shape in shapes if shape not in found]
        texts = {
            shape: json.dumps({shape.names[at]: self._origins[shape.origins[at]] for at in shape.in_order})
            for shape in new
        }
        ids, _ = self._ids_of("provenance_sets", {shape: _digest(text) for shape, text in texts.items()}, texts)
        for shape, number in ids.items():
            _remember(self._provenance, shape, number)
        return {**found, **ids}

    def param_sets(self, wanted: Iterable[tuple[ParamGroup, ...]]) -> dict[tuple[ParamGroup, ...], int]:
        """The ids of a batch's parameter sets; new ones are written, a statement per table."""
        found = {groups: self._param_sets[groups] for groups in wanted if groups in self._param_sets}
        new = [groups for groups in dict.fromkeys(wanted) if groups and groups not in found]
        if not new:
            return found
        group_ids = self._groups(dict.fromkeys(group for groups in new for group in groups))
        members = {groups: sorted({group_ids[group] for group in groups}) for groups in new}
        ids, made = self._ids_of("param_sets", {groups: _digest(repr(members[groups])) for groups in new})
        self._raw.executemany(
            "INSERT INTO param_set_groups (param_set_id, param_group_id) VALUES (?, ?)",
            [(ids[groups], group_id) for groups in made for group_id in members[groups]],
        )
        for groups, set_id in ids.items():
            _remember(self._param_sets, groups, set_id)
        return {**found, **ids}

    def _groups(self, wanted: Iterable[ParamGroup]) -> dict[ParamGroup, int]:
        found = {group: self._param_groups[group] for group in wanted if group in self._param_groups}
        ids, made = self._ids_of("param_groups", {group: group.digest for group in wanted if group not in found})
        self._raw.executemany(
            "INSERT INTO params (param_group_id, name, type, value, origin_id) VALUES (?, ?, ?, ?, ?)",
            [
                (ids[group], name, *typed(value), origin_id)
                for group in made
                for (name, origin_id), value in zip(
                    self._param_keys(group.values.shape), group.values.content, strict=True
                )
            ],
        )
        for group, group_id in ids.items():
            _remember(self._param_groups, group, group_id)
        return {**found, **ids}

    def _param_keys(self, shape: Shape) -> list[tuple[str, int]]:
        """The name and the id of the origin of each parameter."""
        found = self._keys_of_params.get(shape)
        if found is None:
            found = [(name, self._origins[origin]) for name, origin in zip(shape.names, shape.origins, strict=True)]
            _remember(self._keys_of_params, shape, found)
        return found

    def _ids_of(
        self, table: str, digests: Mapping[K, str], texts: Mapping[K, str] | None = None
    ) -> tuple[dict[K, int], list[K]]:
        """Ids of content by its digest, and those that had to be made, with their ``texts`` where the table has any.
        The write lock is held: ids are ours to give."""
        known: dict[str, int] = {}
        for some in _chunks(list(digests.values())):
            marks = ", ".join("?" * len(some))
            known.update(self._raw.execute(f"SELECT digest, id FROM {table} WHERE digest IN ({marks})", some))
        made = list({digest: content for content, digest in digests.items() if digest not in known}.values())
        first = self._next_id(table)
        known.update((digests[content], first + place) for place, content in enumerate(made))
        if texts is None:
            rows = [(known[digests[content]], digests[content]) for content in made]
            self._raw.executemany(f"INSERT INTO {table} (id, digest) VALUES (?, ?)", rows)
        else:
            told = [(known[digests[content]], digests[content], texts[content]) for content in made]
            self._raw.executemany(f"INSERT INTO {table} (id, digest, origins) VALUES (?, ?, ?)", told)
        return {content: known[digest] for content, digest in digests.items()}, made

    def _next_id(self, table: str) -> int:
        return int(self._raw.execute(f"SELECT coalesce(max(id), 0) + 1 FROM {table}").fetchone()[0])

    def _id_of(self, table: str, key: Mapping[str, Any], rest: Mapping[str, Any] | None = None) -> int:
        values = {**key, **(rest or {})}
        condition = " AND ".join(f"{column} = ?" for column in key)
        known = self._raw.execute(f"SELECT id FROM {table} WHERE {condition}", tuple(key.values())).fetchone()
        if known is None:
            marks = ", ".join("?" * len(values))
            insert = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks}) RETURNING id"
            known = self._raw.execute(insert, tuple(values.values())).fetchone()
        return int(known[0])


def _chunks(values: list[V], size: int = 500) -> Iterator[list[V]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def _remember(memory: dict[K, V], key: K, number: V) -> None:
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
