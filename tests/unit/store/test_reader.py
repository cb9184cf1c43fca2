"""The reading side: rows become Checkpoints, whole and in order; a user's SQL may read and nothing else."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.errors import DatabaseError, QueryError
from catalogdb.records import FIELD_NAMES, Weights
from catalogdb.store import regex
from catalogdb.store.engine import ReadingConnection, make_engine, parse_url
from catalogdb.store.migrate import open_schema
from catalogdb.store.reader import Reader
from tests.unit.query.known import ROWS
from tests.unit.query.world import AT, NOW, Filler, Row, empty_database


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadingConnection]:
    connection = empty_database(tmp_path_factory.mktemp("reader"))
    Filler(connection).add(ROWS)
    yield connection
    connection.close()


@pytest.fixture
def reader(raw: ReadingConnection) -> Reader:
    return Reader(raw)


def way(sql: str, *parameters: object) -> list[tuple[str, tuple[object, ...]]]:
    return [(sql, parameters)]


def test_load_gives_whole_checkpoints(reader: Reader) -> None:
    (found,) = reader.load([1])
    assert (found.id, found.path, found.root, found.rel_path) == (1, "/data/a/last.ckpt", "/data", "a/last.ckpt")
    assert (found.format, found.size_bytes, found.state, found.source) == ("torch_zip", 500, "ready", "yaml")
    assert found.stale is False
    assert found.mtime == (NOW - timedelta(days=1)).isoformat()
    assert (found.exp_name, found.architecture, found.epoch, found.global_step) == ("a", "dbnet", 1, 100)
    assert (found.monitor, found.monitor_mode, found.loss) == ("val/hmean", "max", "bce")
    assert found.config_path == "/data/a/config.yaml"
    assert found.metrics == {"val/hmean": 0.7, "val/loss": 0.5}
    assert found.params == {"optimizer": "adam", "lr": 0.01, "batch": 16, "amp": True, "seed": None}
    assert type(found.params["amp"]) is bool
    assert found.weights == Weights(1000, 2, {"float32": 1000}, "crc:1000")
    assert found.tags == {"production": None, "stage": "prod"}
    assert (found.aliases, found.note, found.problems) == (("champion",), "good one", ())
    assert found.wandb_run_id is None


def test_load_mixes_up_no_fields(tmp_path: Path) -> None:
    known: dict[str, object] = {name: f"the {name}" for name in FIELD_NAMES}
    with closing(empty_database(tmp_path)) as connection:
        Filler(connection).add(
            [Row(1, "/data/a.ckpt", fields=known, note="the note", tags={"kept": None}, aliases=["b"])]
        )
        (found,) = Reader(connection).load([1])
    assert {name: getattr(found, name) for name in FIELD_NAMES} == {**known, "config_path": "/data/the config_path"}
    assert (found.note, found.tags, found.aliases, found.problems) == ("the note", {"kept": None}, ("b",), ())
    assert (found.metrics, found.params, found.weights, found.link_target) == ({}, {}, None, None)


def test_load_says_where_each_value_comes_from(reader: Reader) -> None:
    sidecar = {"tier": "yaml", "source": "last.metadata.yaml", "scope": "checkpoint", "key": "metrics"}
    (found,) = reader.load([1])
    assert found.provenance["epoch"] == sidecar
    assert found.provenance["metrics.val/hmean"] == sidecar
    assert found.provenance["params.lr"] == sidecar
    known = {name for name, value in found.to_dict().items() if name in ROWS[0].fields and value is not None}
    assert known <= found.provenance.keys()
    (other,) = reader.load([7])
    run = {"tier": "wandb", "source": "team/ocr/abc", "scope": "run", "key": "summary"}
    assert other.provenance["metrics.val/hmean"] == run


def test_load_gives_back_odd_values(reader: Reader) -> None:
    third, sixth, seventh, fourth = reader.load([3, 6, 7, 4])
    assert math.isnan(third.metrics["val/hmean"])
    assert third.params["batch"] == 10**30
    assert third.params["amp"] == "True"
    assert third.epoch == 3.5
    assert third.stale is True
    assert math.isnan(sixth.params["seed"])  # type: ignore[arg-type]
    assert seventh.metrics["val/top"] == math.inf
    assert seventh.link_target == "/elsewhere/x.ckpt"
    assert seventh.problems == ("config.yaml: no such key",)
    assert (fourth.metrics, fourth.params, fourth.weights, fourth.tags) == ({}, {}, None, {})


def test_load_keeps_the_order_and_leaves_out_what_is_gone(reader: Reader) -> None:
    assert [found.id for found in reader.load([7, 99, 1, 5, 1])] == [7, 1, 5, 1]
    assert reader.load([]) == []


def test_load_needs_few_statements(database_of_many: ReadingConnection) -> None:
    seen: list[str] = []
    database_of_many.set_trace_callback(seen.append)
    found = Reader(database_of_many).load(range(1, 1201))
    database_of_many.set_trace_callback(None)
    assert [checkpoint.id for checkpoint in found] == list(range(1, 1201))
    assert all(checkpoint.metrics["acc"] == checkpoint.id for checkpoint in found)
    assert len(seen) <= 2 + 3 * 8


def test_load_remembers_a_few_until_somebody_writes(tmp_path: Path) -> None:
    with Catalog.open(tmp_path / "c.db") as catalog, closing(sqlite3.connect(tmp_path / "c.db")) as writer:
        Filler(writer).add(ROWS)
        writer.commit()
        with catalog._store.reader() as reader:
            reader.load([1, 2])
        seen: list[str] = []
        with catalog._store.reader() as reader:
            reader._raw.set_trace_callback(seen.append)
            again = reader.load([2, 1])
            reader._raw.set_trace_callback(None)
        assert seen == []
        assert [found.tags for found in again] == [{"stage": "Prod"}, {"production": None, "stage": "prod"}]
        catalog.tag(1, "-production")
        writer.execute("UPDATE metrics SET value = 0.75 WHERE checkpoint_id = 1")
        writer.execute("DELETE FROM checkpoints WHERE id = 2")
        writer.commit()
        with catalog._store.reader() as reader:
            (found,) = reader.load([2, 1])
        assert (found.tags, found.metrics) == ({"stage": "prod"}, {"val/hmean": 0.75, "val/loss": 0.75})


def test_a_checkpoint_may_be_changed_and_no_other_answer_is(raw: ReadingConnection) -> None:
    reader = Reader(raw)
    one, twin = reader.load([1, 1])
    before = twin.to_dict()
    for held in (one.metrics, one.params, one.tags, one.weights.dtypes if one.weights else {}):
        assert isinstance(held, dict)
        held.clear()
    assert one.to_dict() != before
    assert [found.to_dict() for found in (twin, *reader.load([1]))] == [before, before]


@pytest.fixture
def database_of_many(tmp_path: Path) -> Iterator[ReadingConnection]:
    connection = empty_database(tmp_path)
    Filler(connection).add(
        [Row(number, f"/data/{number}.ckpt", metrics={"acc": float(number)}) for number in range(1, 1201)]
    )
    yield connection
    connection.close()


def test_finding(reader: Reader) -> None:
    assert reader.find_id_by_path("/data/a/last.ckpt") == 1
    assert reader.find_id_by_path("/more/d/ünïcode Ä.ckpt") == 7
    assert reader.find_id_by_path("/data/c/gone.ckpt") == 5
    assert reader.find_id_by_path("/data") is None
    assert reader.find_id_by_path("/database/a/last.ckpt") is None
    assert reader.find_id_by_path("/data/\udcff.ckpt") is None
    assert reader.find_id_by_alias("champion") == 1
    assert reader.find_id_by_alias("nobody") is None


def test_finding_under_the_root_of_all(tmp_path: Path) -> None:
    connection = empty_database(tmp_path)
    Filler(connection).add([Row(1, "/x.ckpt", root="/")])
    reader = Reader(connection)
    assert reader.find_id_by_path("/x.ckpt") == 1
    assert reader.load([1])[0].path == "/x.ckpt"
    connection.close()


def test_names_and_modes(reader: Reader) -> None:
    assert reader.metric_ids().keys() == {name for row in ROWS for name in (*row.metrics, *row.run_metrics)}
    assert reader.recorded_modes("val/hmean") == {"max"}
    assert reader.recorded_modes("val/loss") == set()


def test_status(reader: Reader, raw: sqlite3.Connection) -> None:
    watcher = (1, "host", 42, '["/data"]', AT, AT, "watching")
    columns = "id, host, pid, roots, started_at, heartbeat_at, status"
    raw.execute(f"INSERT INTO watchers ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", watcher)
    status = reader.status()
    assert [(root.path, root.rows) for root in status.roots] == [("/data", 5), ("/more", 1)]
    assert status.by_state == {"ready": 5, "missing": 1, "writing": 1}
    assert status.by_source == {"yaml": 4, "wandb": 1, "legacy": 1}
    assert [(item.pid, item.roots, item.status) for item in status.watchers] == [(42, ("/data",), "watching")]
    assert status.cached_runs == 0
    assert status.problems == (("/more/d/ünïcode Ä.ckpt", "config.yaml: no such key"),)


def test_sql_reads_the_views(reader: Reader) -> None:
    result = reader.execute_readonly(
        "SELECT path, value FROM checkpoint_metrics WHERE name = :name AND value > 0.8 ORDER BY path",
        {"name": "val/hmean"},
    )
    assert result.columns == ("path", "value")
    assert list(result.rows) == [
        ("/data/a/best.ckpt", 0.9),
        ("/data/c/young.ckpt", 0.95),
        ("/more/d/ünïcode Ä.ckpt", 0.9),
    ]
    counted = reader.execute_readonly(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3) SELECT * FROM n"
    )
    assert list(counted.rows) == [(1,), (2,), (3,)]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM tags",
        "INSERT INTO tags SELECT * FROM tags",
        "UPDATE checkpoints SET state = 'ready'",
        "DROP TABLE tags",
        "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t (x)",
        "ATTACH ':memory:' AS other",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA query_only = OFF",
        "VACUUM INTO 'x.db'",
        "BEGIN",
        "SELECT load_extension('x')",
        "SELECT 1; DELETE FROM tags",
        "SELECT nothing",
        "SELEC 1",
        "",
        "SELECT :missing",
    ],
)
def test_sql_does_nothing_else(reader: Reader, sql: str) -> None:
    with pytest.raises(QueryError) as caught:
        reader.execute_readonly(sql)
    assert caught.value.exit_code == 2
    assert reader.ids(way("SELECT count(*) FROM tags")) == [3]


def test_sql_has_a_time_limit_and_leaves_nothing_behind(reader: Reader, raw: sqlite3.Connection) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    started = time.monotonic()
    with pytest.raises(DatabaseError, match=r"took longer than 0\.05 s"):
        list(reader.execute_readonly(endless, seconds=0.05).rows)
    assert time.monotonic() - started < 5
    unread = reader.execute_readonly("SELECT id FROM checkpoints", seconds=0.05)
    assert next(unread.rows)
    unread.rows.close()
    raw.execute("CREATE TEMP TABLE allowed_again (x)")
    raw.execute("DROP TABLE temp.allowed_again")


def test_sql_counts_the_time_of_sqlite_alone(reader: Reader) -> None:
    result = reader.execute_readonly(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500) SELECT i FROM n", seconds=0.5
    )
    assert next(result.rows) == (1,)
    time.sleep(0.6)
    assert len(list(result.rows)) == 499


def test_sql_has_a_limit_of_rows(reader: Reader) -> None:
    for limit, expected, cut in ((6, 6, True), (7, 7, False), (None, 7, False)):
        result = reader.execute_readonly("SELECT id FROM checkpoints", limit=limit)
        assert (len(list(result.rows)), result.cut) == (expected, cut)
    assert reader.ids(way("SELECT count(*) FROM tags")) == [3]


def test_rows_may_be_left_when_the_catalog_is_closed(tmp_path: Path) -> None:
    with closing(empty_database(tmp_path)) as connection:
        rows = Reader(connection).execute_readonly("VALUES (1), (2)").rows
        assert next(rows) == (1,)
    rows.close()


def test_count_may_give_up(reader: Reader) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    assert reader.count(way(endless), seconds=0.05) is None
    assert reader.count(way("SELECT count(*) FROM checkpoints"), seconds=5) == 7
    assert reader.count(way("SELECT count(*) FROM checkpoints")) == 7


def test_the_way_that_ends_first_answers(reader: Reader) -> None:
    endless = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", ())
    short = ("SELECT id FROM checkpoints WHERE id < 3", ())
    longer = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT count(*) FROM n",
        (),
    )
    assert reader.race([endless, short]) == [(1,), (2,)]
    assert reader.race([endless, longer]) == [(300000,)]
    assert reader.race([short, endless]) == [(1,), (2,)]
    third_round = (str(longer[0]).replace("300000", "900000"), ())
    assert reader.race([endless, third_round]) == [(900000,)]
    assert reader.race([third_round, endless]) == [(900000,)]
    assert reader.count([endless, endless], seconds=0.05) is None
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        reader.race([endless, ("SELECT 1 FROM nowhere", ())])


def test_a_way_is_left_for_what_it_has_done_not_for_the_time_it_took(reader: Reader, raw: ReadingConnection) -> None:
    tried: list[str] = []

    def slow(_number: int) -> None:
        time.sleep(0.0001)

    raw.create_function("slow", 1, slow)
    raw.create_function("tried", 1, tried.append)
    few_steps = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT count(slow(i)) FROM n"
    other = ("SELECT tried('other')", ())
    assert reader.race([(few_steps.format(300), ()), other]) == [(0,)]
    assert tried == []
    assert reader.race([(few_steps.format(10_000), ()), other]) == [(None,)]
    assert tried == ["other"]


def test_regular_expressions_are_bounded(reader: Reader) -> None:
    assert reader.ids(way("SELECT id FROM checkpoints WHERE rel_path REGEXP ?", "^b/")) == [3, 4]
    assert list(reader.execute_readonly("SELECT 'x' REGEXP NULL, NULL REGEXP 'x'").rows) == [(None, None)]
    for pattern in ("(a+)+$", "(a?a?a?){8}x", "((ab)?c?)*", "(a|b)+", "(", r"(a)\1", "a" * 2000):
        with pytest.raises(QueryError):
            reader.ids(way("SELECT id FROM checkpoints WHERE rel_path REGEXP ?", pattern))
    for pattern in (r"(\d{2}){3}", r"([0-9]+[.]){3}", "(?:_?[a-z])+", "(?P<n>ab){2}", "^(best|last)[.]ckpt$", ".*?a.*"):
        assert reader.ids(way("SELECT id FROM checkpoints WHERE 'x' REGEXP ? AND id < 0", pattern)) == []
    reader._regex.restart()
    reader._regex._left = 0.0
    with pytest.raises(QueryError, match="too long"):
        reader._regex("a", "a")


def test_only_matching_takes_the_time_of_regular_expressions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads rows as they come may take hours over them."""
    monkeypatch.setattr(regex, "SECONDS", 0.05)
    matches = regex.Regex()
    matches.restart()
    time.sleep(0.1)
    assert matches("b", "abc")


def test_a_snapshot_sees_one_moment(tmp_path: Path) -> None:
    engine = make_engine(parse_url(f"sqlite:///{tmp_path}/c.db"))
    open_schema(engine)
    one = sqlite3.connect(tmp_path / "c.db", isolation_level=None, factory=ReadingConnection)
    with closing(one), engine.connect() as other:
        reader = Reader(one)
        with reader.snapshot():
            assert reader.metric_ids() == {}
            other.exec_driver_sql("INSERT INTO metric_names (name) VALUES ('x')")
            assert reader.metric_ids() == {}
            with reader.snapshot():
                assert reader.load([1]) == []
        assert reader.metric_ids() == {"x": 1}
    engine.dispose()
