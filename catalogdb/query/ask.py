"""Questions asked of a store: text → tree → SQL → checkpoints."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

from catalogdb.query.compile import compile_count, compile_search
from catalogdb.query.direction import resolve_mode
from catalogdb.query.parse import parse_filter, parse_ident, parse_order
from catalogdb.query.plan import Ways
from catalogdb.query.rank import check_metric, compile_left_out, compile_rank
from catalogdb.query.tree import Filter
from catalogdb.records import Checkpoint, Mode, Ranking
from catalogdb.store import Reader, Store

PAGE = 500
"""Checkpoints that are loaded at once."""


def rank(store: Store, metric: str, *, mode: str | None, where: str, limit: int | None, per: str | None) -> Ranking:
    with store.reader() as reader:
        checkpoints, chosen = _rank(reader, metric, mode=mode, where=where, limit=limit, per=per)
        names = reader.metric_ids()
        left_out = compile_left_out(metric, parse_filter(where, metrics=names), names=names)
        return Ranking(tuple(checkpoints), chosen, reader.count(left_out))


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
    # An unknown metric is a clearer error than one whose direction can't be told.
    check_metric(metric, names)
    chosen = resolve_mode(metric, mode=mode, recorded=() if mode else reader.recorded_modes(metric))

    def compiled(filter: Filter) -> Ways:
        by = parse_ident(per, metrics=names) if per is not None else None
        return compile_rank(metric, chosen, filter, limit, per=by, names=names)

    ways = _compiled(reader, where, ("rank", metric, chosen, limit, per), compiled)
    return reader.load(reader.ids(ways)), chosen


def _compiled(reader: Reader, where: str, question: Hashable, compiled: Callable[[Filter], Ways]) -> Ways:
    """The statements of a question that was asked before, where they don't depend on when it is asked."""
    known = reader.memory.of("ways")
    found: Ways | None = known.get((where, question))
    if found is None:
        parsed = parse_filter(where, metrics=reader.metric_ids())
        found = compiled(parsed)
        if not parsed.depends_on_now:
            known[(where, question)] = found
    return found


def search(store: Store, where: str, *, order_by: str | Sequence[str], limit: int | None) -> Iterator[Checkpoint]:
    """All of one state of the catalog, loaded page by page."""
    with store.reader() as reader:
        ids = array("q", reader.ids(_search_ways(reader, where, order_by, limit)))
        for start in range(0, len(ids), PAGE):
            yield from reader.load(ids[start : start + PAGE])


def search_at_leisure(store: Store, where: str, *, order_by: str | Sequence[str]) -> Iterator[Checkpoint]:
    """The same for who takes hours over it: nothing is held open between two pages, each of which is as it then is."""
    with store.reader() as reader:
        ids = array("q", reader.ids(_search_ways(reader, where, order_by, None)))
    for start in range(0, len(ids), PAGE):
        with store.reader() as reader:
            page = reader.load(ids[start : start + PAGE])
        yield from page


def _search_ways(reader: Reader, where: str, order_by: str | Sequence[str], limit: int | None) -> Ways:
    names = reader.metric_ids()
    keys = order_by if isinstance(order_by, str) else tuple(order_by)

    def compiled(filter: Filter) -> Ways:
        return compile_search(filter, parse_order(keys, metrics=names), limit, names=names)

    return _compiled(reader, where, ("search", keys, limit), compiled)


def count(store: Store, where: str) -> int:
    with store.reader() as reader:
        names = reader.metric_ids()
        return reader.count(_compiled(reader, where, "count", lambda filter: compile_count(filter, names=names)))


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
