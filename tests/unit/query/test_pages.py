"""Pages, projections and twins, asked of a catalog as programs ask."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogdb import Catalog, Checkpoint
from catalogdb.errors import QueryError, UsageError
from catalogdb.query import ask
from catalogdb.query.tree import Node, OrderKey
from tests.unit.query.known import ROWS
from tests.unit.query.render import render, render_order
from tests.unit.query.test_properties import ROWS as ODD_ROWS
from tests.unit.query.trees import orders, trees
from tests.unit.query.world import Filler, Row


def filled(file: Path, rows: Sequence[Row]) -> Path:
    Catalog.open(file).close()
    raw = sqlite3.connect(file, isolation_level=None)
    Filler(raw).add(rows)
    raw.close()
    return file


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    with Catalog.open(filled(tmp_path_factory.mktemp("known") / "c.db", ROWS)) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    with Catalog.open(filled(tmp_path_factory.mktemp("odd") / "c.db", ODD_ROWS)) as catalog:
        yield catalog


def pages(catalog: Catalog, where: str, size: int, **options: Any) -> Iterator[list[Checkpoint]]:
    token: str | None = None
    while True:
        page = catalog.search(where, max_results=size, page_token=token, **options)
        yield page
        token = page.token
        if token is None:
            return


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.none() | trees, orders, st.integers(1, 25))
def test_pages_together_are_the_whole(odd: Catalog, tree: Node | None, order: tuple[OrderKey, ...], size: int) -> None:
    where, order_by = render(tree), render_order(order)
    whole = [row.id for row in odd.search(where, order_by=order_by, max_results=None)]
    parts = [[row.id for row in page] for page in pages(odd, where, size, order_by=order_by)]
    assert [found for part in parts for found in part] == whole
    assert all(len(part) == size for part in parts[:-1])
    assert len(parts) == max(1, -(-len(whole) // size))


@pytest.mark.parametrize(
    "order_by", ["root, -epoch", "root, rel_path DESC", "-root, rel_path", "root, rel_path", "-path"]
)
def test_pages_by_root(odd: Catalog, order_by: str) -> None:
    whole = [row.id for row in odd.search(order_by=order_by, max_results=None)]
    assert [row.id for page in pages(odd, "", 4, order_by=order_by) for row in page] == whole


def test_rows_that_come_and_go_shift_nothing(tmp_path: Path) -> None:
    rows = [Row(n, f"/data/{n:03}.ckpt", fields={"epoch": n // 3}) for n in range(10, 90)]
    file = filled(tmp_path / "c.db", rows)
    raw = sqlite3.connect(file, isolation_level=None)
    seen: list[int] = []
    with Catalog.open(file) as catalog:
        for number, page in enumerate(pages(catalog, "", 7, order_by="epoch DESC")):
            seen += [row.id for row in page]
            if number == 2:  # rows before and after the place where the page ended
                raw.execute("DELETE FROM checkpoints WHERE id IN (11, 85)")
                Filler(raw).add([Row(500, "/data/first.ckpt", fields={"epoch": 99})])
    raw.close()
    assert len(seen) == len(set(seen)) == 79
    assert set(seen) == {row.id for row in rows} - {11}


def test_a_token_belongs_to_its_question(catalog: Catalog) -> None:
    token = catalog.search("epoch >= 1", max_results=2, order_by="-epoch").token
    assert token is not None
    for where, order_by in (("epoch >= 2", "-epoch"), ("epoch >= 1", "epoch")):
        with pytest.raises(UsageError, match="another filter or ordering"):
            catalog.search(where, order_by=order_by, page_token=token)
    text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    edited = base64.urlsafe_b64encode(text.replace("]", ", 1]").encode()).decode()
    for bad in ("", "x", "🙂", token[:-4], edited):
        with pytest.raises(UsageError, match="page_token"):
            catalog.search("epoch >= 1", order_by="-epoch", page_token=bad)


def test_a_page_has_at_most_what_was_asked(catalog: Catalog) -> None:
    assert catalog.search("", max_results=0) == []
    page = catalog.search("", max_results=6)
    assert (len(page), page.token) == (6, None)
    wrong: list[Any] = [-1, 2**63, 1.5, "3"]
    for limit in wrong:
        with pytest.raises(UsageError, match="max_results"):
            catalog.search("", max_results=limit)
        with pytest.raises(UsageError, match="limit"):
            catalog.best("acc", mode="max", limit=limit)
        with pytest.raises(UsageError, match="limit"):
            list(catalog.iter_search("", max_results=limit))
    assert list(catalog.iter_search("", max_results=0, unique=True)) == []


def test_dicts_and_text_must_both_hold(catalog: Catalog) -> None:
    assert [row.id for row in catalog.search("exp_name = 'a'", filters={"epoch": {"$gt": 1}})] == [2]
    assert [row.id for row in catalog.iter_search(filters={"config.lr": 0.01})] == [1]
    assert catalog.count("exp_name = 'a'", filters={"epoch": {"$ne": 1}}) == 1
    best = catalog.best("val/hmean", where="state = 'ready'", filters={"exp_name": {"$ne": "d"}})
    assert best is not None
    assert best.id == 2
    ranking = catalog.rank("val/hmean", filters={"architecture": {"$nin": ["dbnet"]}}, limit=None)
    assert (ranking.checkpoints, ranking.left_out) == ((), 2)
    first = catalog.search(filters={"epoch": {"$gte": 1}}, max_results=2)
    rest = catalog.search(filters={"epoch": {"$gte": 1}}, page_token=first.token)
    assert [row.id for row in [*first, *rest]] == [2, 1, 3, 6, 7]


PROJECTED = (
    "path", "epoch", "mtime", "created_at", "stale", "config_path", "link_target", "note", "state", "size_bytes",
    "run_id", "aliases", "problems", "metrics.val/hmean", "metrics.`val/top`", "params.lr", "params.amp",
    "params.batch", "params.seed", "tags.production", "tags.stage", "tags.none", "weights.fingerprint",
    "weights.dtypes", "num_parameters",
)  # fmt: skip


def test_columns_are_what_the_checkpoints_have(catalog: Catalog) -> None:
    found = catalog.search("", columns=PROJECTED)
    whole = catalog.search("")
    assert len(found) == len(whole) == 6
    for row, checkpoint in zip(found, whole, strict=True):
        plain = checkpoint.to_dict()
        weights = plain["weights"] or {}
        expected = {
            **{name: plain[name] for name in PROJECTED if name in plain},
            "wandb_run_id": plain["wandb_run_id"],
            "metrics.val/hmean": checkpoint.metrics.get("val/hmean"),
            "metrics.val/top": checkpoint.metrics.get("val/top"),
            **{f"params.{name}": checkpoint.params.get(name) for name in ("lr", "amp", "batch", "seed")},
            "tags.production": True if "production" in checkpoint.tags else None,
            "tags.stage": checkpoint.tags.get("stage"),
            "tags.none": None,
            "weights.fingerprint": weights.get("fingerprint"),
            "weights.dtypes": weights.get("dtypes"),
            "num_parameters": weights.get("num_parameters"),
        }
        assert {name: repr(value) for name, value in row.items()} == {
            name: repr(value) for name, value in expected.items()
        }


def test_columns_go_over_pages(catalog: Catalog) -> None:
    first = catalog.search("", columns=["id"], max_results=4)
    rest = catalog.search("", columns=["id"], page_token=first.token)
    assert [row["id"] for row in [*first, *rest]] == [2, 1, 3, 4, 6, 7]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["epoc"], "epoc: no such column; did you mean epoch"),
        (["val/hmean"], "did you mean metrics.val/hmean"),
        (["metrics.val/hmeen"], "no checkpoint has this metric; did you mean val/hmean"),
        (["weights.fingerprints"], "did you mean fingerprint"),
        (["provenance.epoch"], "no such column"),
        ([], "columns are a list of names"),
        ("path", "columns are a list of names"),
    ],
)
def test_a_column_that_is_none(catalog: Catalog, columns: Any, message: str) -> None:
    with pytest.raises((UsageError, QueryError), match=message):
        catalog.search("", columns=columns)


def test_no_columns_of_a_frame(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="output_format='list'"):
        catalog.search("", columns=["path"], output_format="pandas")  # type: ignore[call-overload]


TWINS = [
    Row(1, "/data/a.ckpt", num_parameters=7, metrics={"acc": 0.9}),
    Row(2, "/data/b.ckpt", num_parameters=7, metrics={"acc": 0.9}),
    Row(3, "/data/c.ckpt", metrics={"acc": 0.8}),
    Row(4, "/data/link.ckpt", link_target="c.ckpt", metrics={"acc": 0.85}),
    Row(5, "/data/e.ckpt", metrics={"acc": 0.7}),
    Row(6, "/data/f.ckpt", metrics={"acc": 0.6}),
    *(Row(n, f"/data/z{n}.ckpt", num_parameters=7, metrics={"acc": 0.99}) for n in range(10, 200)),
]


def test_twins_are_folded(tmp_path: Path) -> None:
    file = filled(tmp_path / "c.db", TWINS)
    raw = sqlite3.connect(file, isolation_level=None)
    raw.execute("UPDATE checkpoints SET inode = 5 WHERE id = 6")  # a hard link
    raw.close()
    with Catalog.open(file) as catalog:
        assert [row.id for row in catalog.search("", unique=True)] == [1, 3, 5]
        assert catalog.count("", unique=True) == 3
        assert catalog.count() == len(TWINS)
        assert [row.id for row in catalog.best("acc", mode="max", limit=3, unique=True)] == [10, 4, 5]
        assert [row.id for row in catalog.search("", unique=True, max_results=2)] == [1, 3]
        assert [row.id for row in catalog.iter_search("", unique=True, max_results=1)] == [1]
        assert [row["id"] for row in catalog.search("", unique=True, columns=["id"])] == [1, 3, 5]
        token = catalog.search("", max_results=1).token
        with pytest.raises(UsageError, match="no unique"):
            catalog.search("", page_token=token, unique=True)


def test_a_page_is_a_list() -> None:
    assert ask.Page([1, 2]) == [1, 2]
