"""The writing side: whole batches or nothing, tags that stay, content that is shared."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from catalogdb.discovery import fingerprint
from catalogdb.errors import DatabaseError
from catalogdb.records import (
    Candidate,
    Origin,
    ParamGroup,
    Place,
    Problem,
    Resolution,
    Scalar,
    Source,
    Stamp,
    Value,
    Weights,
)
from catalogdb.store import Ledger, Root

ROOT = "/data/outputs"
ORIGIN = Origin("yaml", "sidecar", "", "key", "checkpoint")


@pytest.fixture
def ledger(engine: Engine) -> Iterator[Ledger]:
    with Ledger(engine) as ledger:
        yield ledger


def query(database: Path, statement: str, *values: object) -> list[Any]:
    """The first column alone where there is but one."""
    with closing(sqlite3.connect(database)) as connection, connection:
        rows = connection.execute(statement, values).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def group(**params: Scalar) -> ParamGroup:
    return ParamGroup({name: Value(value, ORIGIN) for name, value in params.items()})


def resolution(path: str = "run/x.ckpt", *, size: int = 1, **more: Any) -> Resolution:
    candidate = Candidate(ROOT, path, Stamp(size, 2, 3, 4), more.pop("sources", ()), more.pop("link_target", None))
    fields = {name: Value(value, ORIGIN) for name, value in more.pop("fields", {}).items()}
    metrics = {name: Value(value, ORIGIN) for name, value in more.pop("metrics", {}).items()}
    options: dict[str, Any] = {"state": "ready", "format": "torch_zip", "source": "yaml", **more}
    return Resolution(candidate=candidate, fields=fields, metrics=metrics, **options)


def write(ledger: Ledger, *resolutions: Resolution) -> None:
    root, _, _ = ledger.open_root(ROOT)
    ledger.write(root, [(each, fingerprint(each.candidate)) for each in resolutions], [], {}, seen={})


def test_a_row_with_all_that_hangs_on_it(ledger: Ledger, database: Path) -> None:
    config = Source("config", f"{ROOT}/run/config.yaml", Stamp(5, 6, 7, 8))
    elsewhere = Source("sidecar", "/elsewhere/x.metadata.yaml", Stamp(9, 10, 11, 12))
    events = Source("metrics", f"{ROOT}/run/events.1", Stamp(1, 2, 3, 4))
    more_events = Source("metrics", f"{ROOT}/run/events.2", Stamp(4, 5, 6, 7))
    write(
        ledger,
        resolution(
            fields={"epoch": 0, "architecture": "dbnet", "config_path": config.path},
            metrics={"val/hmean": 0.0, "val/loss": math.nan},
            params=(group(lr=0.1, amp=True, seed=None, name="x", big=2**70),),
            weights=Weights(10, 2, {"float32": 10}, "f"),
            problems=(
                Problem(f"{ROOT}/run/x.ckpt", None, "one"),
                Problem(f"{ROOT}/run/x.metadata.yaml", "yaml", "two"),
            ),
            sources=(config, elsewhere, events, more_events),
            link_target=f"{ROOT}/run/y.ckpt",
        ),
    )
    names = "epoch, architecture, config_path, link_target, num_parameters, dtypes, stale, recheck"
    assert query(database, f"SELECT {names} FROM checkpoints") == [
        (0, "dbnet", "run/config.yaml", "run/y.ckpt", 10, '{"float32": 10}', 0, 0)
    ]
    assert query(database, "SELECT problems FROM checkpoints") == ['["one", "x.metadata.yaml: two"]']
    metrics = "SELECT name, value, live, architecture FROM metrics JOIN metric_names ON id = name_id ORDER BY name"
    assert query(database, metrics) == [("val/hmean", 0.0, 1, "dbnet"), ("val/loss", None, 1, "dbnet")]
    assert query(database, "SELECT role, path, size_bytes, mtime_ns, inode FROM sources ORDER BY role, path") == [
        ("config", "run/config.yaml", 5, 6, 7),
        ("metrics", "run/events.1", 1, 2, 3),
        ("metrics", "run/events.2", 4, 5, 6),
        ("sidecar", "/elsewhere/x.metadata.yaml", 9, 10, 11),
    ]
    assert query(database, "SELECT name, type, value FROM params ORDER BY name") == [
        ("amp", "bool", 1),
        ("big", "int", str(2**70)),
        ("lr", "float", 0.1),
        ("name", "str", "x"),
        ("seed", "null", None),
    ]


def test_written_again_the_row_is_the_new_one_and_the_user_s_facts_stay(ledger: Ledger, database: Path) -> None:
    source = Source("sidecar", f"{ROOT}/run/x.metadata.yaml", Stamp(5, 6, 7, 8))
    first: dict[str, Any] = {"fields": {"epoch": 1, "head": "h"}, "metrics": {"a": 1.0, "b": 2.0}, "sources": (source,)}
    write(ledger, resolution(**first, params=(group(lr=0.1),), problems=(Problem("p", None, "r"),)))
    (row_id,) = query(database, "SELECT id FROM checkpoints")
    query(database, "INSERT INTO tags VALUES (?, 'production', NULL, '')", row_id)
    query(database, "INSERT INTO aliases VALUES ('champion', ?, '')", row_id)
    query(database, "INSERT INTO notes VALUES (?, 'good', '')", row_id)
    write(
        ledger, resolution(size=2, fields={"epoch": 2}, metrics={"b": 3.0}, failed=frozenset({"wandb"}), recheck=True)
    )
    names = "id, epoch, head, size_bytes, param_set_id, problems, stale, recheck"
    assert query(database, f"SELECT {names} FROM checkpoints") == [(row_id, 2, None, 2, None, None, 1, 1)]
    assert query(database, "SELECT value FROM metrics") == [3.0]
    assert query(database, "SELECT * FROM sources") == []
    assert query(database, "SELECT key FROM tags") == ["production"]
    assert query(database, "SELECT checkpoint_id FROM aliases") == [row_id]
    assert query(database, "SELECT text FROM notes") == ["good"]


def test_parameters_are_stored_once_for_all_checkpoints_of_a_run(ledger: Ledger, database: Path) -> None:
    shared = (group(lr=0.1, seed=1), group(depth=3))
    write(ledger, *(resolution(f"run/{number}.ckpt", params=shared) for number in range(3)))
    write(ledger, resolution("run/9.ckpt", params=shared), resolution("other.ckpt", params=(group(lr=0.2), shared[1])))
    assert query(database, "SELECT count(*) FROM param_sets") == [2]
    assert query(database, "SELECT count(DISTINCT param_set_id) FROM checkpoints WHERE rel_path LIKE 'run/%'") == [1]
    assert query(database, "SELECT count(*) FROM params") == [4], "lr and seed; depth, for both; the other lr"


@pytest.mark.parametrize("pair", [(1, 1.0), (1, True), (0, False), ("1", 1), (None, "None"), (0.0, -0.0)])
def test_parameters_that_only_look_equal_are_not_shared(
    ledger: Ledger, database: Path, pair: tuple[Scalar, Scalar]
) -> None:
    write(ledger, resolution("a.ckpt", params=(group(x=pair[0]),)), resolution("b.ckpt", params=(group(x=pair[1]),)))
    assert query(database, "SELECT count(*) FROM params") == [2]


def test_provenance_is_shared_too(ledger: Ledger, database: Path) -> None:
    write(ledger, *(resolution(f"{number}.ckpt", fields={"epoch": number, "head": "h"}) for number in range(5)))
    write(ledger, resolution("x.ckpt", fields={"epoch": 1}))
    assert query(database, "SELECT count(*) FROM provenance_sets") == [2]
    assert query(database, "SELECT count(*) FROM origins") == [1]


def test_a_batch_that_fails_leaves_nothing_and_the_next_one_is_whole(ledger: Ledger, database: Path) -> None:
    """What was interned in the transaction that is gone must not be referred to."""
    write(ledger, resolution("before.ckpt", metrics={"old": 1.0}))
    good = resolution("a.ckpt", metrics={"new": 1.0}, params=(group(lr=0.1),), fields={"epoch": 1})
    with pytest.raises(Exception, match=r"bind|supported|adapt"):
        write(ledger, good, resolution("b.ckpt", fields={"epoch": object()}))
    assert query(database, "SELECT rel_path FROM checkpoints") == ["before.ckpt"]
    assert query(database, "SELECT name FROM metric_names") == ["old"]
    write(ledger, good)
    assert query(database, "SELECT rel_path FROM checkpoints ORDER BY id") == ["before.ckpt", "a.ckpt"]
    assert query(database, "PRAGMA foreign_key_check") == []
    assert query(database, "SELECT name FROM params") == ["lr"]


def test_missing_rows_stay_known_but_their_metrics_are_not_live(ledger: Ledger, database: Path) -> None:
    write(ledger, resolution("a.ckpt", metrics={"m": 1.0}), resolution("b.ckpt", metrics={"m": 2.0}))
    root, rows, _ = ledger.open_root(ROOT)
    ledger.finish(
        root, missing={rows["a.ckpt"].id: None}, gone=[], unlisted=[], problems=[Problem("/data/x", None, "barred")]
    )
    assert query(database, "SELECT rel_path, state FROM checkpoints ORDER BY 1") == [
        ("a.ckpt", "missing"),
        ("b.ckpt", "ready"),
    ]
    assert query(database, "SELECT value, live FROM metrics ORDER BY value") == [(1.0, 0), (2.0, 1)]
    assert query(database, "SELECT problems FROM roots") == ['["/data/x: barred"]']
    write(ledger, resolution("a.ckpt", metrics={"m": 1.0}))
    assert query(database, "SELECT DISTINCT state, live FROM checkpoints JOIN metrics ON id = checkpoint_id") == [
        ("ready", 1)
    ]
    ledger.finish(root, missing={}, gone=[], unlisted=[], problems=[])
    assert query(database, "SELECT problems FROM roots") == [None]


def test_a_row_that_another_scan_wrote_meanwhile_stays_and_is_due(ledger: Ledger, database: Path) -> None:
    write(ledger, resolution("a.ckpt", size=1), resolution("b.ckpt", size=1), resolution("same.ckpt", size=1))
    root, rows, _ = ledger.open_root(ROOT)
    write(ledger, *(resolution(path, size=3, metrics={"m": 3.0}) for path in ("a.ckpt", "b.ckpt", "new.ckpt")))
    seen = {path: row.fingerprint for path, row in rows.items()} | {"new.ckpt": None}
    older = [resolution(path, size=2, metrics={"m": 2.0}) for path in ("a.ckpt", "same.ckpt", "new.ckpt")]
    ledger.write(root, [(each, fingerprint(each.candidate)) for each in older], [], {}, seen=seen)
    ledger.finish(root, missing={rows["b.ckpt"].id: rows["b.ckpt"].fingerprint}, gone=[], unlisted=[], problems=[])
    rows_now = "SELECT rel_path, size_bytes, state, recheck, value, live FROM checkpoints JOIN metrics"
    assert query(database, f"{rows_now} ON id = checkpoint_id ORDER BY 1") == [
        ("a.ckpt", 3, "ready", 1, 3.0, 1),
        ("b.ckpt", 3, "ready", 1, 3.0, 1),
        ("new.ckpt", 3, "ready", 1, 3.0, 1),
        ("same.ckpt", 2, "ready", 0, 2.0, 1),
    ]


@pytest.mark.parametrize(
    "step",
    [
        lambda ledger, root: ledger.write(root, [], [], {}, seen={}),
        lambda ledger, root: ledger.follow_moves(root, [resolution().candidate]),
        lambda ledger, root: ledger.finish(root, missing={}, gone=[], unlisted=[], problems=[]),
        lambda ledger, root: ledger.finish_part(root, [Place("")], missing={}, gone=[], unlisted=[], problems=[]),
    ],
)
def test_a_root_that_was_taken_over_meanwhile(ledger: Ledger, step: Callable[[Ledger, Root], object]) -> None:
    root, _, _ = ledger.open_root(ROOT)
    ledger.open_root("/data")
    with pytest.raises(DatabaseError, match="scan again"):
        step(ledger, root)


def test_files_that_are_no_checkpoints_are_remembered_until_they_are(ledger: Ledger) -> None:
    root, _, _ = ledger.open_root(ROOT)
    ledger.write(root, [], [("a.ckpt", 1, "text"), ("b.ckpt", 2, None)], {}, seen={})
    ledger.write(root, [], [("a.ckpt", 3, "text")], {}, seen={})
    assert ledger.open_root(ROOT)[2] == {"a.ckpt": 3, "b.ckpt": 2}
    write(ledger, resolution("a.ckpt"))
    assert ledger.open_root(ROOT)[2] == {"b.ckpt": 2}
    ledger.finish(root, missing={}, gone=["b.ckpt"], unlisted=[], problems=[])
    assert ledger.open_root(ROOT)[2] == {}


def test_an_id_is_never_given_twice(ledger: Ledger, database: Path) -> None:
    """A tag, an alias or a note in someone's hands names one row for good."""
    write(ledger, resolution("a.ckpt"), resolution("b.ckpt"))
    before = query(database, "SELECT max(id) FROM checkpoints")[0]
    query(database, "DELETE FROM checkpoints WHERE rel_path = 'b.ckpt'")
    write(ledger, resolution("c.ckpt"))
    assert query(database, "SELECT id FROM checkpoints WHERE rel_path = 'c.ckpt'")[0] > before


def test_two_ledgers_write_the_same_rows_at_once(engine: Engine, database: Path) -> None:
    failures: list[BaseException] = []

    def run(offset: int) -> None:
        try:
            with Ledger(engine) as own:
                for start in range(0, 60, 6):
                    rows = [f"{(start + offset + number) % 60}.ckpt" for number in range(6)]
                    write(own, *(resolution(path, metrics={"m": 1.0}, params=(group(lr=0.1),)) for path in rows))
        except BaseException as error:  # noqa: BLE001  # told to the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(offset,)) for offset in (0, 3, 31)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert query(database, "SELECT count(*), count(DISTINCT rel_path) FROM checkpoints") == [(60, 60)]
    assert query(database, "SELECT count(*) FROM metrics") == [60]
    assert query(database, "SELECT count(*) FROM param_sets") == [1]


def test_a_failure_of_sqlite_is_one_line_that_names_the_file(ledger: Ledger, database: Path) -> None:
    query(database, "DROP TABLE metrics")
    with pytest.raises(DatabaseError) as error:
        write(ledger, resolution(metrics={"m": 1.0}))
    assert str(database) in str(error.value)
    assert "\n" not in str(error.value)
