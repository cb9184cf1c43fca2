"""Columns by name → what SQL has to read for them, so that a listing of a few reads nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalogdb.errors import UsageError
from catalogdb.query.column_names import ColumnName, parse_column
from catalogdb.query.conditions import Sql, joined
from catalogdb.query.fields import FIELDS
from catalogdb.store import Reader
from catalogdb.store.functions import scalar
from catalogdb.timestamps import iso_of_ns

BATCH = 500
_METRIC = "(SELECT coalesce(v.value, 'nan') FROM metrics v WHERE v.checkpoint_id = c.id AND v.name_id = ?)"
_TAG = "(SELECT coalesce(t.value, 1) FROM tags t WHERE t.checkpoint_id = c.id AND t.key = ?)"
_PARAM = (
    "(SELECT p.{} FROM params p JOIN param_set_groups g ON g.param_group_id = p.param_group_id "
    "WHERE g.param_set_id = c.param_set_id AND p.name = ?)"
)
_LISTS = {
    "aliases": "(SELECT json_group_array(a.name) FROM "
    "(SELECT name FROM aliases WHERE checkpoint_id = c.id ORDER BY name) a)",
    "problems": "coalesce(c.problems, '[]')",
}
_WEIGHTS = {
    "num_parameters": "c.num_parameters",
    "num_tensors": "c.num_tensors",
    "dtypes": "CASE WHEN c.num_parameters IS NOT NULL THEN coalesce(c.dtypes, '{}') END",
    "fingerprint": "c.weights_fingerprint",
}
_AS_SHOWN: dict[str, tuple[str, Callable[..., Any] | None]] = {
    "mtime": ("c.mtime_ns", iso_of_ns),
    "created_at": ("c.created_at", None),
    "stale": ("c.stale", bool),
}
"""Fields that a checkpoint doesn't show as they compare."""


@dataclass(frozen=True, slots=True)
class Projected:
    """A column: its name, what SQL reads for it over ``c`` and ``r``, and what is made of that."""

    name: str
    read: tuple[Sql, ...]
    convert: Callable[..., Any] | None = None


def project(names: Sequence[str], *, metrics: Mapping[str, int]) -> list[Projected]:
    """Fields, ``metrics.NAME``, ``params.NAME``, ``tags.NAME``, ``weights.NAME``, ``aliases``, ``problems``.

    Raises UsageError, with near names, for one that no checkpoint can have.
    """
    if isinstance(names, str) or not names:
        raise UsageError("columns are a list of names, such as ['path', 'epoch', 'metrics.val/loss']")
    parsed = [parse_column(name, asked_by="columns", metrics=metrics, wholes=tuple(_LISTS)) for name in names]
    return [Projected(str(column), *_read(column, metrics)) for column in parsed]


def _read(column: ColumnName, metrics: Mapping[str, int]) -> tuple[tuple[Sql, ...], Callable[..., Any] | None]:
    """What SQL reads for a column, and what is made of that."""
    part, name = column
    if part == "metrics":
        return (Sql(_METRIC, (metrics[name],)),), float
    if part == "params":
        return tuple(Sql(_PARAM.format(each), (name,)) for each in ("type", "value")), scalar
    if part == "tags":
        return (Sql(_TAG, (name,)),), lambda value: True if value == 1 else value
    if part == "weights":
        return (Sql(_WEIGHTS[name]),), json.loads if name == "dtypes" else None
    if name in _LISTS:
        return (Sql(_LISTS[name]),), json.loads
    if name in _AS_SHOWN:
        expression, convert = _AS_SHOWN[name]
        return (Sql(expression),), convert
    return (Sql(FIELDS[name].expression),), None


def read_columns(reader: Reader, columns: Sequence[Projected], ids: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    """The columns' values for some checkpoints, in the order of ``ids``; those that are gone are left out."""
    selected = joined((part for column in columns for part in column.read), ", ")
    sql = (
        f"SELECT c.id, {selected.text} FROM checkpoints c CROSS JOIN roots r ON r.id = c.root_id "
        "WHERE c.id IN (SELECT value FROM json_each(?))"
    )
    plain = all(column.convert is None for column in columns)
    for start in range(0, len(ids), BATCH):
        some = list(ids[start : start + BATCH])
        found = {row[0]: row for row in reader.race([(sql, (*selected.values, json.dumps(some)))])}
        rows = (found[checkpoint_id] for checkpoint_id in some if checkpoint_id in found)
        yield from (row[1:] for row in rows) if plain else (_converted(row, columns) for row in rows)


def _converted(row: tuple[Any, ...], columns: Sequence[Projected]) -> tuple[Any, ...]:
    values = []
    place = 1
    for column in columns:
        first = row[place]
        if first is None or column.convert is None:
            values.append(first)
        else:
            values.append(column.convert(*row[place : place + len(column.read)]))
        place += len(column.read)
    return tuple(values)
