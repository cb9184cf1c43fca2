"""Checkpoints as a frame of pandas or polars: one row each, and a column for each metric, param and tag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from catalogdb.columnar import as_text, fitted, kind_of, widest
from catalogdb.errors import UsageError
from catalogdb.records import Checkpoint

if TYPE_CHECKING:
    import pandas
    import polars

NAMES = tuple(field.name for field in fields(Checkpoint))
PLAIN = frozenset({"weights", "provenance"})
GROUPS = ("metrics", "params")


def to_pandas(checkpoints: Sequence[Checkpoint]) -> pandas.DataFrame:
    """Columns ``metrics.val/loss``, ``params.lr``, ``tags.x``; a column of several types holds objects.

    NaN and infinite metrics are what they are; a metric that a checkpoint hasn't is NaN, as pandas has it.
    """
    try:
        import pandas  # noqa: PLC0415  # optional, and heavy
    except ImportError as error:
        raise UsageError("a frame needs pandas; install catalogdb[pandas]") from error
    return pandas.DataFrame([dict(_flat(checkpoint)) for checkpoint in checkpoints])


def to_polars(checkpoints: Sequence[Checkpoint]) -> polars.DataFrame:
    """The same columns, each of one type; ``weights`` and ``provenance`` as JSON, ``aliases`` and ``problems`` lists.

    A column whose values share no type, as a param that is 3 here and ``auto`` there, is text.
    """
    try:
        import polars  # noqa: PLC0415  # optional, and heavy
    except ImportError as error:
        raise UsageError("a frame needs polars; install catalogdb[polars]") from error
    columns: dict[str, list[Any]] = {}
    for place, checkpoint in enumerate(checkpoints):
        for name, value in _flat(checkpoint):
            values = columns.setdefault(name, [])
            values += [None] * (place - len(values))
            values.append(as_text(value) if isinstance(value, Mapping) else value)
    types: dict[str, Any] = {
        "null": polars.Null,
        "bool": polars.Boolean,
        "int": polars.Int64,
        "long": polars.Int64,
        "float": polars.Float64,
        "text": polars.String,
    }
    series = []
    for name, values in columns.items():
        values += [None] * (len(checkpoints) - len(values))
        if name in ("aliases", "problems"):
            series.append(polars.Series(name, values, dtype=polars.List(polars.String)))
            continue
        kind = widest({kind_of(value) for value in values})
        series.append(polars.Series(name, [fitted(value, kind) for value in values], dtype=types[kind]))
    return polars.DataFrame(series)


def _flat(checkpoint: Checkpoint) -> Iterator[tuple[str, Any]]:
    plain = checkpoint.to_dict()
    for name in NAMES:
        value = plain[name] if name in PLAIN else getattr(checkpoint, name)
        if name == "tags":
            yield from ((f"tags.{key}", True if text is None else text) for key, text in value.items())
        elif name in GROUPS:
            yield from ((f"{name}.{key}", item) for key, item in value.items())
        else:
            yield name, list(value) if isinstance(value, tuple) else value
