"""W&B's dict form: rows of a known catalog, negations that match what is unknown, errors that name the key."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import date, datetime, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from catalogdb.errors import QueryError
from catalogdb.query.compile import compile_count, compile_search
from catalogdb.query.mongo import from_document, opposite
from catalogdb.query.tree import Filter, Node
from catalogdb.store.reader import Reader
from tests.unit.query import naive
from tests.unit.query.known import ROWS
from tests.unit.query.test_properties import ROWS as ODD_ROWS
from tests.unit.query.trees import trees
from tests.unit.query.world import NOW, reader_of

VISIBLE = {1, 2, 3, 4, 6, 7}


@pytest.fixture(scope="module")
def reader(template: sqlite3.Connection) -> Iterator[Reader]:
    with reader_of(template, ROWS) as reader:
        yield reader


@pytest.fixture(scope="module")
def odd_reader(template: sqlite3.Connection) -> Iterator[Reader]:
    with reader_of(template, ODD_ROWS) as reader:
        yield reader


def search(reader: Reader, document: dict[Any, Any]) -> set[int]:
    names = reader.metric_ids()
    ways = compile_search(from_document(document, metrics=names), names=names, now=NOW)
    answers = [set(reader.ids([way])) for way in ways]
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


TABLE: list[tuple[dict[Any, Any], set[int]]] = [
    ({}, VISIBLE),
    ({"epoch": 2}, {2}),
    ({"epoch": {"$eq": 2}}, {2}),
    ({"epoch": {"$ne": 2}}, VISIBLE - {2}),
    ({"epoch": {"$gt": 2}}, {3, 6, 7}),
    ({"epoch": {"$gte": 2, "$lt": 8}}, {2, 3, 7}),
    ({"epoch": {"$lte": 2}}, {1, 2}),
    ({"epoch": {"$in": [1, 5]}}, {1, 7}),
    ({"epoch": {"$in": [1, None]}}, {1, 4}),
    ({"epoch": {"$nin": [1, 5]}}, {2, 3, 4, 6}),
    ({"epoch": {"$nin": [1, None]}}, {2, 3, 6, 7}),
    ({"epoch": None}, {4}),
    ({"epoch": {"$ne": None}}, VISIBLE - {4}),
    ({"epoch": {"$exists": False}}, {4}),
    ({"epoch": {"$exists": 1}}, VISIBLE - {4}),
    ({"epoch": {"$not": {"$gt": 2}}}, {1, 2, 4}),
    ({"epoch": {"$not": {"$not": {"$gt": 2}}}}, {3, 6, 7}),
    ({"$not": {"epoch": {"$gt": 2}, "exp_name": "c"}}, VISIBLE - {6}),
    ({"$and": [{"epoch": {"$gt": 1}}, {"exp_name": "a"}]}, {2}),
    ({"$or": [{"epoch": 1}, {"epoch": 2}]}, {1, 2}),
    ({"$or": [{"epoch": 1}]}, {1}),
    ({"$nor": [{"epoch": 1}, {"epoch": 2}]}, {3, 4, 6, 7}),
    ({"$nor": [{"$nor": [{"epoch": 1}]}]}, {1}),
    ({"exp_name": "a", "epoch": 1}, {1}),
    ({"display_name": "d"}, {7}),
    ({"name": "abc123"}, {3}),
    ({"architecture": {"$regex": "^db"}}, {1, 2, 6, 7}),
    ({"architecture": {"$regex": "^DB", "$options": "i"}}, {1, 2, 6, 7}),
    ({"architecture": {"$not": "^db"}}, {3, 4}),
    ({"created_at": {"$gt": "2026-01-31T12:00:00"}}, {3}),
    ({"created_at": {"$gt": datetime(2026, 1, 31, 12)}}, {3}),
    ({"createdAt": {"$lt": date(2026, 2, 1)}}, {1, 2}),
    ({"created_at": {"$gte": datetime(2026, 1, 31, 12, tzinfo=timezone.utc)}}, {1, 2, 3}),
    ({"state": "missing"}, {5}),
    ({"stale": {"$ne": True}}, VISIBLE - {3}),
    ({"summary_metrics.val/hmean": {"$gt": 0.8}}, {2, 6, 7}),
    ({"summary.val/hmean": {"$gt": 0.8}}, {2, 6, 7}),
    ({"summary_metrics.val/hmean": {"$not": {"$gt": 0.8}}}, {1, 3, 4}),
    ({"summary_metrics.val/hmean": None}, {3, 4}),
    ({"metrics.val/loss": {"$lt": 0.35}}, {3, 7}),
    ({"config.lr": 0.01}, {1}),
    ({"config.lr.value": 0.01}, {1}),
    ({"config.lr": "auto"}, {3}),
    ({"config.lr": {"$ne": 0.01}}, VISIBLE - {1}),
    ({"config.lr": {"$gt": 0.005}}, {1, 6}),
    ({"config.lr": {"$not": {"$gt": 0.005}}}, {2, 3, 4, 7}),
    ({"config.lr": {"$in": [0.01, "auto"]}}, {1, 3}),
    ({"config.amp": True}, {1}),
    ({"config.amp": {"$ne": True}}, VISIBLE - {1}),
    # a param that is stored as null: equal to 'None', as MLflow writes it, and to None
    ({"config.seed": "None"}, {1}),
    ({"config.seed": {"$ne": "None"}}, VISIBLE - {1}),
    ({"config.seed": {"$nin": ["None", "x"]}}, VISIBLE - {1}),
    ({"$nor": [{"config.seed": "None"}]}, VISIBLE - {1}),
    ({"config.seed": {"$not": {"$eq": "None"}}}, VISIBLE - {1}),
    ({"config.seed": None}, VISIBLE),
    ({"config.optimizer": {"$regex": "adam"}}, {1}),
    # a tag without a value is a tag, and equal to no text
    ({"tags": "production"}, {1}),
    ({"tags": {"$in": ["production", "stage"]}}, {1, 2}),
    ({"tags": {"$nin": ["production"]}}, VISIBLE - {1}),
    ({"tags": {"$ne": "stage"}}, {3, 4, 6, 7}),
    ({"tags": {"$eq": "stage"}}, {1, 2}),
    ({"tags.stage": "prod"}, {1}),
    ({"tags.stage": {"$ne": "prod"}}, VISIBLE - {1}),
    ({"tags.production": "x"}, set()),
    ({"tags.production": {"$ne": "x"}}, VISIBLE),
    ({"$nor": [{"tags.production": "x"}]}, VISIBLE),
    ({"tags.production": {"$nin": ["x"]}}, VISIBLE),
    ({"tags.production": {"$exists": True}}, {1}),
    ({"tags.production": {"$not": {"$exists": True}}}, VISIBLE - {1}),
    ({"aliases": "champion"}, {1}),
    ({"aliases": {"$ne": "champion"}}, VISIBLE - {1}),
]


@pytest.mark.parametrize(("document", "expected"), TABLE, ids=[str(document) for document, _ in TABLE])
def test_what_a_document_matches(reader: Reader, document: dict[Any, Any], expected: set[int]) -> None:
    assert search(reader, document) == expected
    names = reader.metric_ids()
    for way in compile_count(from_document(document, metrics=names), names=names, now=NOW):
        assert reader.count([way]) == len(expected)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees)
def test_the_opposite_is_all_that_a_filter_leaves(odd_reader: Reader, tree: Node) -> None:
    names = odd_reader.metric_ids()
    for way in compile_search(Filter(opposite(tree)), names=names, now=NOW):
        expected = {row.id for row in ODD_ROWS if naive.visible(row, tree) and naive.evaluate(tree, row) is not True}
        assert set(odd_reader.ids([way])) == expected


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([{"epoch": 1}], "a mapping with at least one key is expected"),
        ({"$and": []}, "$and takes a list of at least one filter"),
        ({"$and": {"epoch": 1}}, "$and takes a list"),
        ({"$or": [{}]}, "a mapping with at least one key"),
        ({"$ands": []}, "unknown operator '$ands'; did you mean $and"),
        ({"epoch": {"$get": 1}}, "epoch: unknown operator '$get'; did you mean"),
        ({"epoch": {}}, "epoch: an empty mapping"),
        ({"epoch": {"$in": 3}}, "epoch: a list of at least one value"),
        ({"epoch": {"$in": []}}, "epoch: a list of at least one value"),
        ({"epoch": {"$exists": "yes"}}, "epoch: $exists takes true or false"),
        ({"exp_name": {"$regex": 3}}, "exp_name: $regex takes text"),
        ({"exp_name": {"$regex": "a", "$options": "q"}}, "exp_name: $options are letters of imsx"),
        ({"exp_name": {"$options": "i"}}, "exp_name: $options goes with $regex"),
        ({"epoch": float("nan")}, "epoch: NaN compares with nothing"),
        ({"epoch": [1]}, "epoch: a value is text, a number"),
        ({"epoch": "two"}, "'epoch' is a number"),
        ({3: 1}, "a key is text, not 3"),
        ({"epoc": 1}, "unknown field 'epoc'; did you mean epoch"),
        ({"summary_metrics.val/hmeen": 1}, "unknown metric 'val/hmeen'; did you mean val/hmean"),
        ({"tags": 3}, "tags: a name, or a mapping"),
        ({"tags": {"$gt": "a"}}, "tags: '$gt' isn't for names"),
        ({"tags": {"$in": "a"}}, "tags: $in takes a list of names"),
    ],
)
def test_what_is_no_filter_says_so(reader: Reader, document: Any, message: str) -> None:
    with pytest.raises(QueryError) as raised:
        search(reader, document)
    assert message in str(raised.value)


def test_nesting_has_an_end(reader: Reader) -> None:
    document: dict[str, Any] = {"epoch": 1}
    for _ in range(1000):
        document = {"$not": document}
    with pytest.raises(QueryError, match="nested deeper"):
        search(reader, document)
    condition: dict[str, Any] = {"$gt": 1}
    for _ in range(1000):
        condition = {"$not": condition}
    with pytest.raises(QueryError, match="nested deeper"):
        search(reader, {"epoch": condition})
