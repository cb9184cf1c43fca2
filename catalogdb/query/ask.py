"""Questions asked of a store: text → tree → SQL → checkpoints."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from catalogdb.errors import UsageError
from catalogdb.query.columns import project, read_columns
from catalogdb.query.compile import compile_count, compile_keys, compile_search
from catalogdb.query.direction import resolve_mode
from catalogdb.query.hints import hints
from catalogdb.query.mongo import from_document
from catalogdb.query.parse import parse_filter, parse_ident, parse_order
from catalogdb.query.plan import Ways
from catalogdb.query.positions import Position, make_token, read_token
from catalogdb.query.rank import check_metric, compile_left_out, compile_rank, compile_ungrouped
from catalogdb.query.shapes import compile_shape
from catalogdb.query.tree import And, Filter
from catalogdb.query.twins import unique_ids
from catalogdb.records import Checkpoint, Mode, Ranking
from catalogdb.settings import expand_home
from catalogdb.store import Reader, Store

T = TypeVar("T")
LOADED = 500
"""Checkpoints that are loaded at once."""
LARGEST = 2**53
"""Of a limit; more rows no catalog has."""
MOST_DIGITS = 20
"""Of an id; SQLite counts no further."""
LEFT_OUT_SECONDS = 0.25
"""How long a ranking may count what it leaves out, which takes longer than the ranking itself."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which checkpoints, in which order, and how many. ``filters`` is W&B's form; it and ``where`` must both hold.

    ``unique`` keeps the first of twins: of files with the same weights, and of links to one file. Raises UsageError for
    a limit that is none.
    """

    where: str = ""
    filters: Mapping[str, Any] | None = None
    order_by: tuple[str, ...] = ()
    limit: int | None = None
    unique: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and not (type(self.limit) is int and 0 <= self.limit <= LARGEST):
            raise UsageError(f"limit or max_results is a whole number from 0 on, or None for all, not {self.limit!r}")


@dataclass(frozen=True, slots=True)
class Contest:
    """By which metric, and which way; ``per`` asks for the best of each value of a field."""

    metric: str
    mode: str | None = None
    per: str | None = None


class Page(list[T]):
    """Answers. ``token`` is what ``page_token`` takes to go on after the last of them; None where nothing is left."""

    token: str | None = None


def rank(store: Store, contest: Contest, question: Question) -> Ranking:
    with store.reader() as reader:
        checkpoints, chosen = _rank(reader, contest, question)
        names = reader.metric_ids()
        filter = _parse(reader, question)
        left_out = reader.count(compile_left_out(contest.metric, filter, names=names), seconds=LEFT_OUT_SECONDS)
        ungrouped: int | None = 0
        if contest.per is not None:
            per = parse_ident(contest.per, metrics=names)
            lacking = compile_ungrouped(contest.metric, per, filter, names=names)
            ungrouped = reader.count(lacking, seconds=LEFT_OUT_SECONDS)
        return Ranking(tuple(checkpoints), chosen, left_out, ungrouped)


def best(store: Store, contest: Contest, question: Question) -> list[Checkpoint]:
    """As ``rank``, without counting what it leaves out: that would go through every row."""
    with store.reader() as reader:
        return _rank(reader, contest, question)[0]


def _rank(reader: Reader, contest: Contest, question: Question) -> tuple[list[Checkpoint], Mode]:
    metric, names = contest.metric, reader.metric_ids()
    # An unknown metric is a clearer error than one whose direction can't be told.
    check_metric(metric, names)
    mode = contest.mode
    chosen = resolve_mode(metric, mode=mode, recorded=() if mode else reader.recorded_modes(metric))

    def ways(limit: int | None) -> Ways:
        def compiled(filter: Filter) -> Ways:
            by = parse_ident(contest.per, metrics=names) if contest.per is not None else None
            return compile_rank(metric, chosen, filter, limit, per=by, names=names)

        return _compiled(reader, question, ("rank", metric, chosen, contest.per, limit), compiled)

    return reader.load(_ids(reader, question, ways)), chosen


def _ids(reader: Reader, question: Question, ways: Callable[[int | None], Ways]) -> list[int]:
    """The ids that answer, twins folded where that is asked: then more are read, until enough are left."""
    limit = question.limit
    if not question.unique or limit == 0:
        return reader.ids(ways(limit))
    asked = None if limit is None else 4 * limit + 16
    while True:
        ids = reader.ids(ways(asked))
        kept = unique_ids(reader, ids, limit)
        if asked is None or limit is None or len(kept) >= limit or len(ids) < asked:
            return kept
        asked *= 8


def _compiled(reader: Reader, question: Question, kind: Hashable, compiled: Callable[[Filter], Ways]) -> Ways:
    """The statements of a question; those of a filter are remembered, whatever its values."""
    if question.filters is not None:
        return compiled(_parse(reader, question))
    return compile_shape(reader.memory, question.where, kind, parse=lambda: _parse(reader, question), compiled=compiled)


def _parse(reader: Reader, question: Question) -> Filter:
    names = reader.metric_ids()
    said = parse_filter(question.where, metrics=names)
    if question.filters is None:
        return said
    document = from_document(question.filters, metrics=names)
    if said.root is None or document.root is None:
        return said if document.root is None else document
    return Filter(And((said.root, document.root)), question.where)


def search(store: Store, question: Question) -> Iterator[Checkpoint]:
    """All of one state of the catalog, loaded some at a time."""
    with store.reader() as reader:
        ids = array("q", _found(reader, question))
        for start in range(0, len(ids), LOADED):
            yield from reader.load(ids[start : start + LOADED])


def search_at_leisure(store: Store, question: Question) -> Iterator[Checkpoint]:
    """The same for who takes hours over it: nothing is held open between two loads, each of which is as it then is."""
    with store.reader() as reader:
        ids = array("q", _found(reader, question))
    for start in range(0, len(ids), LOADED):
        with store.reader() as reader:
            loaded = reader.load(ids[start : start + LOADED])
        yield from loaded


def _found(reader: Reader, question: Question, after: Position | None = None) -> list[int]:
    names = reader.metric_ids()

    def ways(limit: int | None) -> Ways:
        def compiled(filter: Filter) -> Ways:
            keys = parse_order(question.order_by, metrics=names)
            if after is None:
                return compile_search(filter, keys, limit, names=names)
            return compile_search(filter, keys, limit, names=names, now=after.now, after=after.values)

        if after is not None:
            return compiled(_parse(reader, question))
        return _compiled(reader, question, ("search", question.order_by, limit), compiled)

    return _ids(reader, question, ways)


def page(store: Store, question: Question, token: str | None) -> Page[Checkpoint]:
    """At most ``question.limit`` checkpoints, after those of the page that gave ``token``."""
    with store.reader() as reader:
        ids, following = _page_ids(reader, question, token)
        found = Page(reader.load(ids))
        found.token = following
        return found


def page_of_rows(store: Store, question: Question, token: str | None, columns: Sequence[str]) -> Page[dict[str, Any]]:
    """The same as one mapping of the named columns for each."""
    with store.reader() as reader:
        projected = project(columns, metrics=reader.metric_ids())
        ids, following = _page_ids(reader, question, token)
        names = [column.name for column in projected]
        found = Page(dict(zip(names, row, strict=True)) for row in read_columns(reader, projected, ids))
        found.token = following
        return found


def _page_ids(reader: Reader, question: Question, token: str | None) -> tuple[list[int], str | None]:
    if token is not None and question.unique:
        raise UsageError("page_token goes on where a page ended, and doesn't know which twins it held: no unique then")
    if question.limit is None:
        return _found(reader, question, read_token(token, question)), None
    now = datetime.now(timezone.utc)
    after = read_token(token, question)
    found = _found(reader, replace(question, limit=question.limit + 1), after)
    ids = found[: question.limit]
    if len(found) <= question.limit or not ids or question.unique:
        return ids, None
    names = reader.metric_ids()
    keys = compile_keys(parse_order(question.order_by, metrics=names), ids[-1], names=names)
    values = reader.race([keys])[0]
    return ids, make_token(Position(values, after.now if after is not None else now), question)


def count(store: Store, question: Question) -> int:
    with store.reader() as reader:
        if question.unique:
            return len(_found(reader, question))
        names = reader.metric_ids()
        return reader.count(_compiled(reader, question, "count", lambda filter: compile_count(filter, names=names)))


def find_hints(store: Store, where: str, names: Sequence[str]) -> list[str]:
    with store.reader() as reader:
        metrics = reader.metric_ids()
        idents = [key.ident for key in parse_order(names, metrics=metrics)]
        return list(hints(reader, parse_filter(where, metrics=metrics), idents))


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
            if found is None and text.isascii() and text.isdigit() and len(text) < MOST_DIGITS:
                found = int(text)
        return next(iter(reader.load([found])), None) if found is not None else None


def _find_by_path(reader: Reader, text: str) -> int | None:
    """Under the name that was given, else with its folders' links resolved: a link to a checkpoint has its own row.
    One that has none, since no scan saw it, means the checkpoint that it leads to."""
    known = reader.find_id_by_path(text) if text.startswith("/") else None
    if known is None and text and "\0" not in text:
        path = Path(expand_home(text))
        known = reader.find_id_by_path(f"{os.path.realpath(path.parent).rstrip('/')}/{path.name}")
        if known is None:
            known = reader.find_id_by_path(os.path.realpath(path))
    return known
