"""Questions asked of a store: text → tree → SQL → checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from catalogdb.query.compile import compile_count, compile_left_out, compile_rank, compile_search
from catalogdb.query.direction import resolve_mode
from catalogdb.query.parse import parse_filter, parse_ident, parse_order
from catalogdb.records import Checkpoint, Mode, Ranking
from catalogdb.store import Reader, Store

PAGE = 500
"""Checkpoints that are loaded at once."""


def rank(store: Store, metric: str, *, mode: str | None, where: str, limit: int | None, per: str | None) -> Ranking:
    with store.reader() as reader:
        checkpoints, chosen = _rank(reader, metric, mode=mode, where=where, limit=limit, per=per)
        names = reader.metric_ids()
        left_out = compile_left_out(metric, parse_filter(where, metrics=names), names=names)
        return Ranking(tuple(checkpoints), chosen, reader.count(left_out.sql, left_out.parameters) or 0)


def best(
    store: Store, metric: str, *, mode: str | None, where: str, limit: int | None, per: str | None
) -> list[Checkpoint]:
    """As ``rank``, without counting what it leaves out: that would go through every row."""
    with store.reader() as reader:
        return _rank(reader, metric, mode=mode, where=where, limit=limit, per=per)[0]


def _rank(
    reader: Reader, metric: str, *, mode: str | None, where: str, limit: int | None, per: str | None
) -> tuple[list[Checkpoint], Mode]:
    names = reader.metric_ids()
    parsed = parse_filter(where, metrics=names)
    by = parse_ident(per, metrics=names) if per is not None else None
    # An unknown metric is a clearer error than one whose direction can't be told, so it is compiled first.
    compile_rank(metric, "max", parsed, limit, per=by, names=names)
    chosen = resolve_mode(metric, mode=mode, recorded=reader.recorded_modes(metric))
    statement = compile_rank(metric, chosen, parsed, limit, per=by, names=names)
    return reader.load(reader.ids(statement.sql, statement.parameters)), chosen


def search(store: Store, where: str, *, order_by: str | Sequence[str], limit: int | None) -> Iterator[Checkpoint]:
    """All of one state of the catalog, loaded page by page."""
    with store.reader() as reader:
        names = reader.metric_ids()
        parsed = parse_filter(where, metrics=names)
        found = compile_search(parsed, parse_order(order_by, metrics=names), limit, names=names)
        ids = reader.ids(found.sql, found.parameters)
        for start in range(0, len(ids), PAGE):
            yield from reader.load(ids[start : start + PAGE])


def count(store: Store, where: str) -> int:
    with store.reader() as reader:
        names = reader.metric_ids()
        counted = compile_count(parse_filter(where, metrics=names), names=names)
        return reader.count(counted.sql, counted.parameters)


def metric_names(store: Store) -> list[str]:
    with store.reader() as reader:
        return sorted(reader.metric_ids())


def find(store: Store, ref: int | str | os.PathLike[str]) -> Checkpoint | None:
    """By id, path, or ``@alias``. A path is what it leads to from here; a number that is also a file is the file."""
    with store.reader() as reader:
        if isinstance(ref, int):
            return next(iter(reader.load([ref])), None)
        text = os.fspath(ref)
        if text.startswith("@"):
            found = reader.find_id_by_alias(text[1:])
        else:
            found = _find_by_path(reader, text)
            if found is None and text.isascii() and text.isdigit():
                found = int(text)
        return next(iter(reader.load([found])), None) if found is not None else None


def _find_by_path(reader: Reader, text: str) -> int | None:
    """Under the name that was given, its folders' links resolved: a link to a checkpoint has a row of its own."""
    path = Path(text).expanduser()
    return reader.find_id_by_path(str(path.parent.resolve() / path.name))
