"""A filter of a remembered shape has the answer, or the error, that it has when it is asked for the first time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogdb.errors import QueryError
from catalogdb.query.compile import compile_count, compile_search
from catalogdb.query.parse import parse_filter, parse_order
from catalogdb.query.plan import Ways
from catalogdb.query.rank import compile_rank
from catalogdb.query.shapes import EXACT, compile_shape, shape_of
from catalogdb.query.tree import And, Between, Comparison, Fails, Filter, Membership, Node, Not, Or, Value, iter_values
from catalogdb.store.memory import Memory
from catalogdb.store.reader import Reader
from tests.unit.query.render import render
from tests.unit.query.test_properties import ROWS
from tests.unit.query.trees import NAMES, NUMBERS, PATTERNS, REGEXES, TEXTS, trees
from tests.unit.query.world import NOW, reader_of

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def reader(template: sqlite3.Connection) -> Iterator[Reader]:
    with reader_of(template, ROWS) as reader:
        yield reader


class Asker:
    """Asks with a memory, and counts how often a filter had to be parsed."""

    def __init__(self, reader: Reader, kind: str = "search") -> None:
        self.reader = reader
        self.kind = kind
        self.memory = Memory(keeps=True)
        self.parsed = 0

    def compile(self, filter: Filter) -> Ways:
        names = self.reader.metric_ids()
        if self.kind == "count":
            return compile_count(filter, names=names, now=NOW)
        if self.kind == "rank":
            return compile_rank(NAMES[0], "max", filter, 5, names=names, now=NOW)
        return compile_search(filter, parse_order(f"metrics.`{NAMES[1]}` DESC"), 5, names=names, now=NOW)

    def fresh(self, text: str) -> Ways:
        return self.compile(parse_filter(text))

    def remembered(self, text: str) -> Ways:
        def parse() -> Filter:
            self.parsed += 1
            return parse_filter(text)

        return compile_shape(self.memory, text, self.kind, parse=parse, compiled=self.compile)

    def outcome(self, ways_of: Callable[[str], Ways], text: str) -> object:
        """The first statement and the rows that all agree on, or the error."""
        try:
            ways = ways_of(text)
            answers = [self.reader.race([way]) for way in ways]
        except QueryError as error:
            return error.message, error.text, error.column
        assert all(answer == answers[0] for answer in answers)
        return ways[0], answers[0]

    def check(self, text: str) -> None:
        assert self.outcome(self.remembered, text) == self.outcome(self.fresh, text)


def with_other_values(draw: st.DrawFn, node: Node) -> Node:
    """The same tree with other values of the same types, some of which mean nothing where they stand."""

    def other(value: Value) -> Value:
        if isinstance(value.value, bool):
            return Value(draw(st.booleans()))
        if isinstance(value.value, str):
            return Value(
                draw(st.sampled_from([*TEXTS, *PATTERNS, *REGEXES, "(", "2026-11-24", "\\", "?", "a\0", "\ud800"]))
            )
        if isinstance(value.value, datetime):
            return Value(value.value + timedelta(days=draw(st.integers(-3, 3))))
        if isinstance(value.value, timedelta):
            return Value(timedelta(days=draw(st.integers(0, 5))))
        return Value(draw(st.sampled_from([*NUMBERS, EXACT - 1, EXACT, -EXACT, 2**63]) | st.integers(-3, 3)))

    if isinstance(node, And | Or):
        return replace(node, parts=tuple(with_other_values(draw, part) for part in node.parts))
    if isinstance(node, Not | Fails):
        return replace(node, part=with_other_values(draw, node.part))
    if isinstance(node, Comparison):
        return replace(node, value=other(node.value))
    if isinstance(node, Membership):
        return replace(node, values=tuple(other(value) for value in node.values))
    if isinstance(node, Between):
        return replace(node, low=other(node.low), high=other(node.high))
    return node


@st.composite
def alike(draw: st.DrawFn) -> list[Node]:
    first = draw(trees)
    return [first, *(with_other_values(draw, first) for _ in range(draw(st.integers(1, 3))))]


@settings(quick, max_examples=200)
@given(alike(), st.sampled_from(("search", "count", "rank")))
def test_other_values_answer_as_if_asked_alone(reader: Reader, nodes: list[Node], kind: str) -> None:
    asker = Asker(reader, kind)
    for node in [*nodes, *nodes]:
        asker.check(render(node))


NUMBERS_WRITTEN = ("3", "+3", "-3", ".5", "3.", "-.5", "1e5", "1.2.3", "1_0", "00", "9007199254740993", "1e400")
OTHERS_WRITTEN = (
    "-3w",
    "+3w",
    "2026-01-31",
    "2026-01-31T12:00",
    "inf",
    "-inf",
    "nan",
    "null",
    "true",
    "x",
    "x3",
    "tags",
)
TEXTS_WRITTEN = ("'a'", "'a''b'", "''", "'", "' '", "'2026-01-31'", "'a\0'", '"a"', "`a`")
WORDS = NUMBERS_WRITTEN + OTHERS_WRITTEN + TEXTS_WRITTEN
FORMS = (
    "epoch > {}",
    "epoch>{}and hmean<{}",
    "epoch between{}and {}",
    "epoch not between {}and{}",
    "epoch in({},{})",
    "epoch in ({}) or epoch={}",
    "exp_name={}",
    "exp_name={}or architecture={}",
    "exp_name like{}",
    "exp_name in({},{})",
    "params.x={}",
    "params.`3`={} and params.\"'4'\" != {}",
    "tags.x != {}",
    "mtime<{}",
    "created_at >= {} 12:00",
    "stale={}",
    "{} in tags and not {} in tags",
    "'{} in tags",
    "{}",
    "x{}",
)


@settings(quick, max_examples=1000)
@given(st.sampled_from(FORMS), st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)), min_size=2))
def test_any_words_in_the_same_places_do_too(reader: Reader, form: str, words: list[tuple[str, str]]) -> None:
    asker = Asker(reader, "count")
    for pair in words:
        asker.check(form.format(*pair))


@quick
@given(trees)
def test_literals_are_where_the_parser_finds_them(tree: Node) -> None:
    text = render(tree)
    shape = shape_of(text)
    found = set(zip(shape.columns(), shape.literals, strict=True))
    values = [(value.column, value.value) for value in iter_values(parse_filter(text).root)]
    exact = {
        (column, value)
        for column, value in values
        if isinstance(value, str) or (isinstance(value, int | float) and type(value) is not bool and abs(value) < EXACT)
    }
    assert exact <= found
    others = {text[column:] for column, _ in found - exact}
    assert all(" IN tags" in rest or " IN aliases" in rest for rest in others)  # names of tags and aliases


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("epoch > 3 and params.lr = 0.1", "epoch > 7 and params.lr = 1e-2"),
        ("epoch > 3", "epoch > -.5"),
        ("exp_name = 'a'", "exp_name = 'b''c'"),
        ("exp_name IN ('a', 'b') AND architecture != ''", "exp_name IN ('3', 'True') AND architecture != 'None'"),
        ("tags.stage = 'prod'", "tags.stage = '0.01'"),
        ("metrics.x BETWEEN 0 AND 1", "metrics.x BETWEEN -1 AND 0.5"),
        ("path = '/data/a.ckpt'", "path = '/more/b.pt'"),
        ("params.opt = 'adam' AND epoch = 1", "params.opt = 'adam' AND epoch = 2"),
        ("path LIKE '%.pt' AND epoch = 1", "path LIKE '%.pt' AND epoch = 2"),
        ("", ""),
        ("epoch IS NULL", "epoch IS NULL"),
    ],
)
def test_what_is_shared(reader: Reader, first: str, second: str) -> None:
    asker = Asker(reader)
    asker.check(first)
    asker.check(second)
    assert asker.parsed == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("params.opt = 'adam'", "params.opt = '0.01'"),  # a text that a number may be written as
        ("params.opt = 'None'", "params.opt = 'nan'"),
        ("mtime > 1", "mtime > 100000000000"),  # seconds, milliseconds
        ("created_at > '2026-01-31'", "created_at > 'x'"),
        ("stale = 1", "stale = 0"),
        ("path LIKE 'a%'", "path LIKE 'a[%'"),
        ("path ILIKE 'a'", "path ILIKE 'ä'"),
        ("path ~ 'a'", "path ~ '('"),
        ("'x' IN tags", "'y' IN tags"),
        ("epoch IN (1, 2)", "epoch IN (1, 2, 3)"),
        ("params.x = 9007199254740991", "params.x = 9007199254740993"),
        ("epoch < 1", "epoch < inf"),
        ("exp_name = 'a'", 'exp_name = "a"'),
        ("exp_name = 'a'", "exp_name = 1"),
        ("epoch = 1", "epoch  = 1"),
        ("epoch > 1", "EPOCH > 1"),
        ("mtime > -3w", "mtime > -3w"),  # depends on when it is asked
    ],
)
def test_what_is_not(reader: Reader, first: str, second: str) -> None:
    asker = Asker(reader)
    asker.check(first)
    asker.check(second)
    assert asker.parsed == 2


def test_an_error_points_into_the_text_that_was_asked(reader: Reader) -> None:
    asker = Asker(reader)
    asker.check("epoch > 3 AND hmean > 1")
    asker.check("exp_name = 'a'")
    for text in ("epoch > 333 AND hmean > 'x'", "exp_name = 'aa\0'", "epoch > 3 AND hmean > 1.2.3"):
        asker.check(text)
        with pytest.raises(QueryError) as caught:
            asker.remembered(text)
        assert caught.value.column == max(text.find(mark) for mark in ("'x'", "\0", "1.2.3"))


def test_what_is_remembered_ends_with_the_memory(reader: Reader) -> None:
    asker = Asker(reader)
    for _ in range(2):
        asker.check("epoch > 3")
    asker.memory = Memory(keeps=True)
    asker.check("epoch > 4")
    assert asker.parsed == 2
