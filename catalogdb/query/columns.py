"""Columns by name → what SQL has to read for them, so that a listing of a few reads nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from catalogdb.errors import UsageError
from catalogdb.query.conditions import Sql, joined
from catalogdb.query.fields import FIELDS, find_field, near_names
from catalogdb.store import Reader
from catalogdb.store.functions import scalar

BATCH = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_METRIC = "(SELECT coalesce(v.value, 'nan') FROM metrics v WHERE v.checkpoint_id = c.id AND v.name_id = ?)"
_TAG = "(SELECT coalesce(t.value, 1) FROM tags t WHERE t.checkpoint_id = c.id AND t.key = ?)"
_PARAM = (
    "(SELECT p.{} FROM params p JOIN param_set_groups g ON g.param_group_id = p.param_group_id "
    "WHERE g.param_set_id = c.param_set_id AND p.name = ?)"
)
_ALIASES = (
    "(SELECT json_group_array(a.name) FROM (SELECT name FROM aliases WHERE checkpoint_id = c.id ORDER BY name) a)"
)
_WEIGHTS = {"num_parameters": "num_parameters", "num_tensors": "num_tensors", "fingerprint": "weights_fingerprint"}
PREFIXES = ("metrics", "params", "tags", "weights")


@dataclass(frozen=True, slots=True)
class Projected:
    """A column: its name, what SQL reads for it over ``c`` and ``r``, and what is made of that."""

    name: str
    read: tuple[Sql, ...]
    convert: Callable[..., Any] | None = None


def parse_columns(names: Sequence[str], *, metrics: Mapping[str, int]) -> list[Projected]:
    """Fields, ``metrics.NAME``, ``params.NAME``, ``tags.NAME``, ``weights.NAME``, ``aliases``, ``problems``.

    Raises UsageError, with near names, for one that no checkpoint can have.
    """
    if isinstance(names, str) or not names:
        raise UsageError("columns are a list of names, such as ['path', 'epoch', 'metrics.val/loss']")
    return [_parse(name, metrics) for name in names]


def _parse(text: str, metrics: Mapping[str, int]) -> Projected:
    prefix, dot, rest = text.partition(".")
    if dot and prefix in PREFIXES:
        return _entry(prefix, unquote(rest), metrics)
    found = find_field(unquote(text))
    if found is not None:
        return _field(found.name)
    if text in ("aliases", "problems"):
        return Projected(text, (Sql(_ALIASES if text == "aliases" else "coalesce(c.problems, '[]')"),), _listed)
    name = unquote(text)
    near = [f"metrics.{name}"] if name in metrics else near_names(name, FIELDS)
    raise UsageError(f"columns: {text}: no such column{_suggest(near)}")


def _entry(group: str, name: str, metrics: Mapping[str, int]) -> Projected:
    if group == "metrics":
        if name not in metrics:
            near = near_names(name, metrics)
            raise UsageError(f"columns: metrics.{name}: no checkpoint has this metric{_suggest(near)}")
        return Projected(f"metrics.{name}", (Sql(_METRIC, (metrics[name],)),), float)
    if group == "params":
        return Projected(
            f"params.{name}", tuple(Sql(_PARAM.format(part), (name,)) for part in ("type", "value")), scalar
        )
    if group == "tags":
        return Projected(f"tags.{name}", (Sql(_TAG, (name,)),), lambda value: True if value == 1 else value)
    if name not in _WEIGHTS:
        raise UsageError(f"columns: weights.{name}: no such column{_suggest(near_names(name, _WEIGHTS))}")
    return Projected(f"weights.{name}", _field(_WEIGHTS[name]).read)


def _field(name: str) -> Projected:
    """As a checkpoint shows it, which for times isn't how they compare."""
    if name == "mtime":
        return Projected(name, (Sql("c.mtime_ns"),), _iso)
    if name == "created_at":
        return Projected(name, (Sql("c.created_at"),))
    return Projected(name, (Sql(FIELDS[name].expression),), bool if name == "stale" else None)


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


def unquote(name: str) -> str:
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in '`"' else name


def _iso(nanoseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=nanoseconds // 1000)).isoformat()


def _listed(text: str) -> list[Any]:
    found: list[Any] = json.loads(text)
    return found


def _suggest(near: Collection[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""
