"""Which columns a listing has: those that ``-c`` names, or those that fit the question."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain, islice
from pathlib import Path
from typing import Any

from catalogdb.cli.render import (
    LOOK_AHEAD,
    PATH_ENDS,
    Row,
    to_json,
    write_paths,
    write_records,
    write_rows,
)
from catalogdb.columnar import Kind
from catalogdb.errors import UsageError
from catalogdb.query.column_names import PARTS, ColumnName, parse_column, unquote
from catalogdb.query.fields import FIELDS, Field
from catalogdb.records import Checkpoint

MAPPINGS = (*PARTS, "provenance")
"""The parts of a record whose entries are columns of their own, as in ``metrics.val/loss``."""

_WEIGHTS = {"num_parameters": "num_parameters", "num_tensors": "num_tensors", "weights_fingerprint": "fingerprint"}
_RECORD = tuple(item.name for item in fields(Checkpoint) if item.name not in FIELDS)
_QUOTED = r"(?:`[^`]*`)+|(?:\"[^\"]*\")+"
_ITEM = re.compile(rf"(?:{_QUOTED}|[^,`\"])+")
_METRIC = re.compile(rf"\bmetrics\.({_QUOTED}|[\w/.@:-]+)")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its header, how its value is had from a checkpoint, and its type where all its values have one."""

    name: str
    value: Callable[[Checkpoint], Any]
    kind: Kind = "null"


def split_list(text: str) -> list[str]:
    """``a, b`` → its items; a comma inside `backticks` or "double quotes" doesn't separate."""
    return [item.strip() for item in _ITEM.findall(text) if item.strip()]


def parse_columns(text: str, metric_names: Sequence[str]) -> list[Column]:
    """The columns that ``-c`` names. Raises UsageError, with near names, for one that no checkpoint can have."""
    items = split_list(text)
    if not items:
        raise UsageError("-c: names no column; write them with commas between, such as path,epoch,metrics.val/loss")
    return [
        _column(parse_column(item, asked_by="-c", metrics=metric_names, wholes=_RECORD, parts=MAPPINGS))
        for item in items
    ]


def _column(column: ColumnName) -> Column:
    if column.part is not None:
        return Column(str(column), _entry(column.part, column.name), "float" if column.part == "metrics" else "null")
    field = FIELDS.get(column.name)
    return _field_column(field) if field is not None else Column(column.name, _field(column.name))


def _field_column(field: Field) -> Column:
    return Column(field.name, _field(field.name), "text" if field.type == "time" else field.type)


def _field(name: str) -> Callable[[Checkpoint], Any]:
    if name in _WEIGHTS:
        return _entry("weights", _WEIGHTS[name])
    return lambda row: getattr(row, name)


def _entry(group: str, name: str) -> Callable[[Checkpoint], Any]:
    if group == "tags":  # a plain tag has no value of its own
        return lambda row: row.tags[name] if row.tags.get(name) is not None else name in row.tags or None
    if group == "weights":
        return lambda row: row.weights.to_dict().get(name) if row.weights else None

    def entry(row: Checkpoint) -> Any:
        mapping: Mapping[str, Any] = getattr(row, group)
        return mapping.get(name)

    return entry


def metrics_in(*texts: str) -> list[str]:
    """The metrics that a filter or an ordering speaks of: a listing had better show them."""
    found = (unquote(name) for text in texts for name in _METRIC.findall(text))
    return list(dict.fromkeys(found))


def _summary_columns(
    rows: Sequence[Checkpoint], metrics: Sequence[str], *, whole: bool, cwd: Path | None
) -> list[Column]:
    """What a person looks for first. ``whole`` says that ``rows`` are all there will be."""
    here = f"{cwd}/" if cwd and str(cwd) != "/" else None
    columns = [
        Column("path", lambda row: row.path.removeprefix(here) if here else row.path),
        Column("epoch", _field("epoch")),
        Column("step", _field("global_step")),
    ]
    monitors = {row.monitor for row in rows if row.monitor}
    if metrics or (whole and len(monitors) == 1):
        columns += [Column(name, _entry("metrics", name)) for name in metrics or monitors]
    elif monitors:
        columns.append(Column("monitored", _monitored))
    columns += [Column(name, _field(name)) for name in ("architecture", "exp_name", "source")]
    if not whole or any(row.state != "ready" for row in rows):
        columns.append(Column("state", lambda row: row.state if row.state != "ready" else None))
    return columns


def _monitored(row: Checkpoint) -> str | None:
    value = row.metrics.get(row.monitor) if row.monitor else None
    return None if value is None else f"{value:.6g} {row.monitor}"


def write_checkpoints(
    rows: Iterable[Checkpoint],
    style: str,
    *,
    columns: str | None,
    metrics: Sequence[str],
    metric_names: Callable[[], Sequence[str]],
    cwd: Path,
) -> int:
    """Checkpoints to stdout, streamed; returns how many. ``metrics`` are those that the question was about."""
    count = 0

    def counted() -> Iterator[Checkpoint]:
        nonlocal count
        for count, row in enumerate(rows, 1):  # noqa: B007 - read by the caller
            yield row

    if columns is not None:
        _write(parse_columns(columns, metric_names()), counted(), style)
    elif style in {"json", "jsonl"}:
        write_records((row.to_dict() for row in counted()), lines=style == "jsonl")
    elif style in PATH_ENDS:
        write_paths((row.path for row in counted()), style)
    elif style in {"csv", "tsv", "parquet"}:
        _write(_all_columns(metric_names(), style), counted(), style)
    else:
        iterator = counted()
        first = list(islice(iterator, LOOK_AHEAD))
        following = list(islice(iterator, 1))
        place = cwd if style == "table" else None
        chosen = _summary_columns(first, metrics, whole=not following, cwd=place)
        _write(chosen, chain(first, following, iterator), style)
    return count


def _all_columns(metric_names: Sequence[str], style: str) -> list[Column]:
    """Each field and each metric; Parquet holds what has no column of its own as well, as JSON."""
    chosen = [_field_column(field) for field in FIELDS.values()]
    chosen += [Column(f"metrics.{name}", _entry("metrics", name), "float") for name in metric_names]
    if style == "parquet":
        chosen += [Column(name, _json(name), "text") for name in ("params", "tags", "aliases", "problems")]
    return chosen


def _json(name: str) -> Callable[[Checkpoint], str | None]:
    return lambda row: to_json(value) if (value := getattr(row, name)) else None


def _write(columns: Sequence[Column], rows: Iterable[Checkpoint], style: str) -> None:
    values: Iterator[Row] = ([column.value(row) for column in columns] for row in rows)
    write_rows([column.name for column in columns], values, style, [column.kind for column in columns])
