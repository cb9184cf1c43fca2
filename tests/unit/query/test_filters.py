"""Filters → rows of a known catalog."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from catalogdb.errors import QueryError
from catalogdb.query.compile import compile_count, compile_search
from catalogdb.query.parse import parse_filter, parse_ident, parse_order
from catalogdb.query.plan import Ways
from catalogdb.query.rank import compile_left_out, compile_rank
from catalogdb.store.engine import ReadingConnection
from catalogdb.store.reader import Reader
from tests.unit.query.known import ROWS
from tests.unit.query.world import NOW, reader_of


@pytest.fixture(scope="module")
def reader(template: sqlite3.Connection) -> Iterator[Reader]:
    with reader_of(template, ROWS) as reader:
        yield reader


def agreed(reader: Reader, ways: Ways) -> list[int]:
    """The answer that every way gives."""
    answers = [reader.ids([way]) for way in ways]
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


def search(reader: Reader, text: str, order: str = "", limit: int | None = None) -> list[int]:
    names = reader.metric_ids()
    parsed = parse_filter(text, metrics=names)
    statement = compile_search(parsed, parse_order(order, metrics=names), limit, names=names, now=NOW)
    return agreed(reader, statement)


FIELDS = [
    ("", {1, 2, 3, 4, 6, 7}),
    ("epoch >= 2", {2, 3, 6, 7}),
    ("epoch=2", {2}),
    ("epoch == 2", {2}),
    ("epoch <> 2", {1, 3, 6, 7}),
    ("epoch = 3.5", {3}),
    ("NOT epoch = 2", {1, 3, 6, 7}),
    ("epoch IS NULL", {4}),
    ("epoch is not null", {1, 2, 3, 6, 7}),
    ("epoch BETWEEN 2 AND 5 AND exp_name != 'b'", {2, 7}),
    ("epoch NOT BETWEEN 2 AND 5", {1, 6}),
    ("epoch IN (1, 5)", {1, 7}),
    ("epoch NOT IN (1, 5)", {2, 3, 6}),
    ("EPOCH > 1 or exp_name = 'a'", {1, 2, 3, 6, 7}),
    ("epoch = 1 OR epoch = 2 AND exp_name = 'zzz'", {1}),
    ("(epoch = 1 OR epoch = 2) AND exp_name = 'a'", {1, 2}),
    ("NOT (epoch = 1 OR epoch = 2)", {3, 6, 7}),
    ("epoch = 1 OR epoch IN (2, 5) OR epoch = 1", {1, 2, 7}),
    ("epoch = 1 OR epoch NOT IN (2, 5)", {1, 3, 6}),
    ("epoch = 1 OR epoch > 3.6", {1, 6, 7}),
    ("NOT NOT epoch = 1", {1}),
    ("architecture = \"dbnet\" AND state = 'ready'", {1, 2, 7}),
    ("\"architecture\" = 'dbnet' and `epoch` = 1", {1}),
    ("attributes.epoch = 1", {1}),
    ("attribute.epoch = 1 or attr.epoch = 2 or run.epoch = 5", {1, 2, 7}),
    ("attributes.`Run ID` = 'abc123'", {3}),
    ("run_id = 'abc123'", {3}),
    ("run_name = 'd'", {7}),
    ("stale = true", {3}),
    ("stale != TRUE", {1, 2, 4, 6, 7}),
    ("stale = false and source = 'legacy'", {4}),
    ("id IN (1, 7)", {1, 7}),
    ("id = 1", {1}),
    ("size_bytes < 1000", {1}),
    ("num_parameters >= 1000", {1}),
    ("weights_fingerprint = 'crc:1000'", {1}),
    ("note LIKE 'good%'", {1}),
    ("root = '/more'", {7}),
    ("path = '/data/b/none.pt'", {4}),
    ("path = '/more/d/ünïcode Ä.ckpt'", {7}),
    ("path = '/nowhere'", set()),
    ("rel_path LIKE '%/last.ckpt'", {1, 3}),
    ("config_path = '/data/a/config.yaml'", {1}),
    ("link_target = '/elsewhere/x.ckpt'", {7}),
    ("exp_name IN ('a', \"d\")", {1, 2, 7}),
    ("exp_name > 'b'", {6, 7}),
    ("exp_name='a'AND(epoch=1)", {1}),
]

STATES = [
    ("architecture = 'dbnet' AND epoch = 9", set()),
    ("state = 'missing'", {5}),
    ("state IN ('missing', 'writing')", {5, 6}),
    ("NOT state = 'ready'", {5, 6}),
    ("state IS NOT NULL", {1, 2, 3, 4, 5, 6, 7}),
    ("metrics.val/hmean > 0.94 AND state IS NOT NULL", {5, 6}),
]

METRICS = [
    ("metrics.`val/hmean` > 0.8", {2, 6, 7}),
    ('metrics."val/hmean" > 0.8', {2, 6, 7}),
    ("metrics.val/hmean > 0.8", {2, 6, 7}),
    ("metric.val/hmean > 0.8", {2, 6, 7}),
    ("METRICS.val/hmean>.8", {2, 6, 7}),
    ("metrics.val/hmean != 0.9", {1, 6}),
    ("NOT metrics.val/hmean = 0.9", {1, 6}),
    ("metrics.val/hmean IS NULL", {3, 4}),
    ("metrics.val/hmean IS NOT NULL", {1, 2, 6, 7}),
    ("metrics.val/hmean BETWEEN 0.7 AND 9e-1", {1, 2, 7}),
    ("metrics.val/hmean IN (0.7, 0.95)", {1, 6}),
    ("metrics.val/top = inf", {7}),
    ("metrics.val/top > 1e300", {7}),
    ("metrics.val/top < -inf", set()),
    ("metrics.val/hmean > 0.8 AND metrics.val/loss < 0.3", {7}),
    ("metrics.val/hmean > 0.8 AND metrics.val/hmean < 0.93", {2, 7}),
    ("metrics.val/hmean > 0.8 OR metrics.val/loss < 0.35", {2, 3, 6, 7}),
    ("architecture = 'dbnet' AND metrics.val/hmean >= 0.9", {2, 6, 7}),
    ('metrics.`we``ird "name" %_\'; DROP TABLE metrics; --🙂` = 1', {3}),
]

PARAMS = [
    ("params.lr = 0.01", {1}),
    ("params.lr = 1e-2", {1}),
    ("params.lr = '0.01'", {1}),
    ('params.lr = "0.01"', {1}),
    ("params.lr = '0.010'", set()),
    ("params.lr = 1", {6}),
    ("params.lr < 0.01", {2}),
    ("params.lr != 0.01", {2, 3, 6}),
    ("params.lr != '0.01'", {2, 3, 6}),
    ("params.lr = 'auto'", {3}),
    ("params.lr > 'a'", {3}),
    ("params.lr IN (0.01, 'auto')", {1, 3}),
    ("params.lr NOT IN (0.01, 'auto')", {2, 6}),
    ("params.lr = 0.01 OR params.lr = 'auto'", {1, 3}),
    ("params.lr BETWEEN 0.001 AND 0.01", {1, 2}),
    ("params.lr IS NULL", {4, 7}),
    ("params.seed IS NULL", {1, 2, 3, 4, 6, 7}),
    ("params.seed = 'None'", {1}),
    ("params.seed = 'nan'", {6}),
    ("params.amp = true", {1}),
    ("params.amp != true", {2, 3}),
    ("params.amp = 'True'", {1, 3}),
    ("params.amp = 1", set()),
    ("params.batch = 1e30", {3}),
    ("params.batch = '1000000000000000000000000000000'", {3}),
    ("params.batch >= 32", {2, 3}),
    ("parameter.optimizer LIKE 'a%'", {1}),
    ("parameters.optimizer ILIKE 'a%'", {1, 2}),
    ("param.lr LIKE '0.0%'", {1, 2}),
    ("params.lr ~ '^0\\.0+1$'", {1, 2}),
    ("params.lr = 0.01 AND params.optimizer = 'adam' AND epoch = 1", {1}),
    ("NOT params.lr = 0.01", {2, 3, 6}),
]

TAGS = [
    ("'production' IN tags", {1}),
    ('"production" IN TAGS', {1}),
    ("'production' NOT IN tags", {2, 3, 4, 6, 7}),
    ("'champion' IN aliases", {1}),
    ("'champion' NOT IN aliases AND exp_name = 'a'", {2}),
    ("tags.stage = 'prod'", {1}),
    ("tag.stage != 'prod'", {2}),
    ("tags.stage ILIKE 'PROD'", {1, 2}),
    ("tags.stage IS NULL", {3, 4, 6, 7}),
    ("tags.production IS NOT NULL", {1}),
    ("tags.production = ''", set()),
    ("tags.stage IN ('prod', 'Prod')", {1, 2}),
]

PATTERNS = [
    ("path LIKE '%Ä%'", {7}),
    ("path LIKE '%ä%'", set()),
    ("path ILIKE '%ä%'", {7}),
    ("path LIKE '/data/_/last.ckpt'", {1, 3}),
    ("exp_name LIKE '*'", set()),
    ("exp_name LIKE '[ab]'", set()),
    ("exp_name LIKE 'A'", set()),
    ("exp_name ILIKE 'A'", {1, 2}),
    ("NOT exp_name LIKE 'a'", {3, 4, 6, 7}),
    ("path ~ '(last|best)\\.ckpt$'", {1, 2, 3}),
    ("path ~ 'Ä'", {7}),
]

TIMES = [
    ("mtime > -3w", {1, 2, 4, 6, 7}),
    ("mtime > -36h", {1, 4, 6, 7}),
    ("mtime < -36h AND mtime > -1000000m", {2, 3}),
    ("mtime >= 2026-11-24", {4, 6, 7}),
    ("mtime >= 2026-11-24T12:00", {4, 6, 7}),
    ("mtime > 2026-11-24T12:00Z", set()),
    ("mtime = 2026-11-24T13:00:00+01:00", {4, 6, 7}),
    ("mtime = '2026-11-24T12:00:00+00:00'", {4, 6, 7}),
    ("mtime <= 1792972800", {3}),
    ("created_at = 2026-01-31T12:00", {1, 2}),
    ("created_at > '2026-01-31T12:00:00+00:00'", {3}),
    ("created_at BETWEEN 2026-01-01 AND 2026-01-31T23:59", {1, 2}),
    ("attributes.start_time >= 1769860800000", {1, 2, 3}),
    ("created_at IS NULL", {4, 6, 7}),
]


@pytest.mark.parametrize(("text", "expected"), [*FIELDS, *STATES, *METRICS, *PARAMS, *TAGS, *PATTERNS, *TIMES])
def test_filter(reader: Reader, text: str, expected: set[int]) -> None:
    assert set(search(reader, text)) == expected
    statement = compile_count(parse_filter(text), names=reader.metric_ids(), now=NOW)
    assert reader.count(statement) == len(expected)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("", [2, 1, 3, 4, 6, 7]),
        ("path DESC", [7, 6, 4, 3, 1, 2]),
        ("epoch", [1, 2, 3, 7, 6, 4]),
        ("epoch DESC", [6, 7, 3, 2, 1, 4]),
        ("-epoch", [6, 7, 3, 2, 1, 4]),
        ("epoch ASC NULLS FIRST", [4, 1, 2, 3, 7, 6]),
        ("epoch DESC NULLS FIRST", [4, 6, 7, 3, 2, 1]),
        ("epoch DESC NULLS LAST", [6, 7, 3, 2, 1, 4]),
        ("metrics.val/hmean DESC", [6, 2, 7, 1, 3, 4]),
        ("metrics.`val/hmean`", [1, 2, 7, 6, 3, 4]),
        ("+metrics.val/hmean, -epoch", [1, 7, 2, 6, 3, 4]),
        ("metrics.val/hmean NULLS FIRST", [3, 4, 1, 2, 7, 6]),
        ("exp_name DESC, epoch", [7, 6, 3, 4, 1, 2]),
        ("created_at DESC", [3, 2, 1, 4, 6, 7]),
        ("params.lr", [2, 1, 6, 3, 4, 7]),
        ("tags.stage", [2, 1, 3, 4, 6, 7]),
        ("mtime, id DESC", [3, 2, 1, 7, 6, 4]),
    ],
)
def test_order(reader: Reader, order: str, expected: list[int]) -> None:
    assert search(reader, "", order) == expected
    for limit in range(8):
        assert search(reader, "", order, limit) == expected[:limit]


def test_order_takes_a_list() -> None:
    assert parse_order(["exp_name DESC", "epoch"]) == parse_order("exp_name desc, +epoch")


def rank(reader: Reader, metric: str, mode: str, text: str = "", per: str | None = None) -> list[int]:
    by = None if per is None else parse_ident(per)
    statement = compile_rank(metric, mode, parse_filter(text), names=reader.metric_ids(), per=by, now=NOW)
    return agreed(reader, statement)


@pytest.mark.parametrize(
    ("metric", "mode", "text", "per", "expected"),
    [
        ("val/hmean", "max", "", None, [2, 7, 1]),
        ("val/hmean", "min", "", None, [1, 2, 7]),
        ("val/loss", "min", "", None, [7, 3, 2, 1]),
        ("val/hmean", "max", "state IN ('ready', 'writing')", None, [6, 2, 7, 1]),
        ("val/hmean", "max", "state = 'missing'", None, [5]),
        ("val/hmean", "max", "architecture = 'dbnet'", None, [2, 7, 1]),
        ("val/hmean", "max", "architecture = 'nope'", None, []),
        ("val/hmean", "max", "exp_name = 'a'", None, [2, 1]),
        ("val/hmean", "max", "exp_name = 'a'", "architecture", [2]),
        ("val/hmean", "max", "'production' IN tags", None, [1]),
        ("val/hmean", "max", "metrics.val/hmean < 0.8", None, [1]),
        ("val/hmean", "max", "params.lr = 0.01", None, [1]),
        ("val/hmean", "max", "id IN (1, 7)", None, [7, 1]),
        ("val/top", "max", "", None, []),
        ("val/hmean", "max", "", "exp_name", [2, 7]),
        ("val/loss", "min", "", "exp_name", [7, 3, 2]),
        ("val/loss", "min", "architecture = 'dbnet'", "exp_name", [7, 2]),
        ("val/loss", "min", "", "architecture", [7, 3]),
        ("val/loss", "min", "", "wandb_run_id", [3]),
        ("val/loss", "min", "", "run", [7, 3, 2]),
        ("val/loss", "min", "", "params.optimizer", [3, 2, 1]),
        ("val/loss", "min", "", "tags.stage", [2, 1]),
    ],
)
def test_rank(reader: Reader, metric: str, mode: str, text: str, per: str | None, expected: list[int]) -> None:
    assert rank(reader, metric, mode, text, per) == expected


@pytest.mark.parametrize(
    ("metric", "text", "expected"),
    [
        ("val/hmean", "", 2),
        ("val/top", "", 5),
        ("val/hmean", "exp_name = 'b'", 2),
        ("val/hmean", "state = 'missing'", 0),
    ],
)
def test_left_out(reader: Reader, metric: str, text: str, expected: int) -> None:
    statement = compile_left_out(metric, parse_filter(text), names=reader.metric_ids(), now=NOW)
    assert reader.count(statement) == expected


ERRORS = [
    ("epohc = 3", 0, "unknown field 'epohc'; did you mean epoch?"),
    ("epoch = 1 AND val/hmean > 3", 14, "the metric of that name is metrics.`val/hmean`"),
    ("hmaen = 1", 0, "did you mean hmean"),
    ("metrics.val/hmaen > 0", 0, "unknown metric 'val/hmaen'; did you mean val/hmean?"),
    ("metrics.hmean > 0", 0, "did you mean val/hmean?"),
    ("nothing/like.it > 0", 0, "for a metric write metrics.`nothing/like.it`"),
    ("tags = 'x'", 0, "'name' IN tags"),
    ("created_at > -1y", 13, "a number such as -5 is expected here, or an age: -30m, -12h, -7d, -3w"),
    ("architecture = dbnet", 15, "text is written in quotes: 'dbnet'"),
    ("architecture = 3", 15, "'architecture' is text"),
    ("loss < 0.1", 7, "'loss' is text"),
    ("epoch = 'x'", 8, "'epoch' is a number"),
    ("epoch = true", 8, "'epoch' is a number"),
    ("epoch LIKE '1%'", 0, "isn't text"),
    ("metrics.val/loss = 'low'", 19, "is a number"),
    ("tags.stage = 1", 13, "'stage' is text"),
    ("stale = 'yes'", 8, "true or false"),
    ("stale < true", 8, "true or false"),
    ("mtime > 'soon'", 8, "is a time"),
    ("mtime > true", 8, "is a time"),
    ("mtime > 2026-13-01", 8, "calendar"),
    ("mtime > -99999999999999w", 8, "calendar"),
    ("params.lr > -3w", 12, "date in quotes"),
    ("params.amp < true", 13, "in no order"),
    ("epoch", 5, "the end came too early; an operator is expected"),
    ("epoch =", 7, "a value is expected"),
    ("epoch = 3 AND", 13, "a name is expected"),
    ("(epoch = 3", 10, "')' is expected"),
    ("epoch = 3)", 9, "unexpected ')'"),
    ("epoch = 3 epoch = 4", 10, "AND or OR is expected"),
    ("epoch = 'abc", 8, "without its closing '"),
    ("epoch = 12ab", 8, "neither a number"),
    ("epoch = NULL", 8, "IS NULL"),
    ("epoch = nan", 8, "IS NULL"),
    ("epoch = `x`", 8, "single quotes"),
    ("epoch IN ()", 10, "a value is expected"),
    ("epoch IN 3", 9, "unexpected '3'"),
    ("epoch ! 3", 6, "unexpected '!'"),
    ("metrics. > 3", 8, "a name is expected after 'metrics.'"),
    ('foo."x" > 3', 0, "metrics, params, tags or attributes"),
    ("path ~ '('", 7, "not a regular expression"),
    ("path ~ '(a+)+$'", 7, "may take for ever"),
    ("path ~ '(a|ab)*$'", 7, "may take for ever"),
    ("path ~ '([ab]{2,})*'", 7, "may take for ever"),
    ("path ~ 3", 7, "pattern in quotes"),
]


@pytest.mark.parametrize(("text", "column", "message"), ERRORS)
def test_error(reader: Reader, text: str, column: int, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        search(reader, text)
    assert message in caught.value.message
    assert (caught.value.text, caught.value.column) == (text, column)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("order", "column", "message"),
    [
        ("epohc DESC", 0, "did you mean epoch?"),
        ("epoch, -epohc", 8, "did you mean epoch?"),
        ("metrics.val/hmaen", 0, "did you mean val/hmean?"),
        ("epoch UP", 6, "unexpected 'UP'"),
        ("-epoch DESC", 7, "twice"),
        ("epoch,", 6, "a name is expected"),
        ("epoch NULLS", 11, "FIRST or LAST"),
    ],
)
def test_order_error(reader: Reader, order: str, column: int, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        search(reader, "", order)
    assert message in caught.value.message
    assert (caught.value.text, caught.value.column) == (order, column)


def test_an_unknown_metric_to_rank_by_names_near_ones(reader: Reader) -> None:
    with pytest.raises(QueryError, match="unknown metric 'hmean'; did you mean val/hmean"):
        rank(reader, "hmean", "max")


def test_an_empty_catalog_says_so(database: ReadingConnection) -> None:
    with pytest.raises(QueryError, match="no metrics yet"):
        search(Reader(database), "metrics.x > 1")
    assert search(Reader(database), "") == []


def test_one_name_is_one_name() -> None:
    for text in ("epoch, path", "-epoch", "epoch DESC", ""):
        with pytest.raises(QueryError, match="one name"):
            parse_ident(text)


def test_long_filters(reader: Reader) -> None:
    assert search(reader, " OR ".join(f"epoch = {number}" for number in range(3000))) == [2, 1, 6, 7]
    assert search(reader, f"epoch IN ({', '.join(str(number) for number in range(20000))})") == [2, 1, 6, 7]
    assert search(reader, "(" * 500 + "epoch = 1" + ")" * 500) == [1]
    with pytest.raises(QueryError, match="values"):
        search(reader, f"id IN ({','.join('1' * 33000)})")
    with pytest.raises(QueryError, match="too long"):
        search(reader, "epoch = 1 " + "AND epoch = 1 " * 80000)
    with pytest.raises(QueryError, match="nested"):
        search(reader, "NOT " * 300 + "epoch = 1")


@pytest.mark.parametrize("text", ["note = 'a\0b'", "note = '\ud800'"])
def test_what_is_no_text(text: str) -> None:
    with pytest.raises(QueryError, match="not a character"):
        parse_filter(text)
