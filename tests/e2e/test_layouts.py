"""Each layout's tree: every value right or null; then the same tree moved, its metrics files cut, its newest gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.records import Checkpoint
from tests.e2e.layout_trees import BUILT, Fact, Tree


@pytest.fixture(scope="module", params=sorted(BUILT))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tree]:
    root = tmp_path_factory.mktemp(request.param) / "proj"
    return root, BUILT[request.param](root)


@pytest.fixture
def laid_out(built: tuple[Path, Tree], tmp_path: Path) -> tuple[Path, Tree]:
    """A copy of its own, links kept, times as they were."""
    root = tmp_path / "proj"
    shutil.copytree(built[0], root, symlinks=True)
    for path in built[1].facts:
        if (built[0] / path).is_file() and (built[0] / path).stat().st_nlink > 1:
            (root / path).unlink()
            first = next(each for each in built[1].facts if (built[0] / each).samefile(built[0] / path))
            if first == path:
                shutil.copy2(built[0] / path, root / path)
            else:
                (root / path).hardlink_to(root / first)
    return root, built[1]


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with Catalog.open("sqlite://") as opened:
        yield opened


def rows_of(catalog: Catalog) -> dict[str, Checkpoint]:
    return {row.rel_path: row for row in catalog.search("", max_results=None)}


def is_right(row: Checkpoint, fact: Fact, *, metrics_known: bool = True) -> None:
    assert (row.epoch, row.global_step, row.stated_epoch) == (fact.epoch, fact.step, fact.stated_epoch)
    if metrics_known:
        assert row.metrics == pytest.approx(fact.metrics)
    else:
        assert row.metrics.keys() <= fact.metrics.keys()
        assert row.metrics == pytest.approx({name: fact.metrics[name] for name in row.metrics}, rel=1e-2)
    assert fact.params.items() <= row.params.items()
    if fact.exp_name is not None:
        assert row.exp_name == fact.exp_name
    assert all(row.provenance[f"metrics.{name}"]["scope"] == "checkpoint" for name in row.metrics)


def test_every_value_is_right_or_null(laid_out: tuple[Path, Tree], catalog: Catalog) -> None:
    root, tree = laid_out
    report = catalog.scan(root)
    assert report.problems == ()
    rows = rows_of(catalog)
    assert rows.keys() == tree.facts.keys()
    for path, fact in tree.facts.items():
        is_right(rows[path], fact)
        assert rows[path].claims == fact.claims
    assert catalog.scan(root).unchanged == len(rows)


def test_moved_it_is_as_it_was(laid_out: tuple[Path, Tree], catalog: Catalog) -> None:
    root, tree = laid_out
    catalog.scan(root)
    before = rows_of(catalog)
    moved = root.parent / "archive" / "proj"
    moved.parent.mkdir()
    root.rename(moved)
    report = catalog.scan(moved)
    assert (report.moved, report.new, report.problems) == (len(tree.facts), 0, ())
    for path, row in rows_of(catalog).items():
        was = before[path]
        assert (row.id, row.metrics, row.params, row.claims) == (was.id, was.metrics, was.params, was.claims)
        is_right(row, tree.facts[path])
        assert row.provenance == was.provenance


def test_metrics_files_that_were_cut_say_nothing_wrong(laid_out: tuple[Path, Tree], catalog: Catalog) -> None:
    root, tree = laid_out
    for path in tree.grows:
        os.truncate(root / path, (root / path).stat().st_size - 3)
    assert catalog.scan(root).problems == ()
    rows = rows_of(catalog)
    for path, fact in tree.facts.items():
        is_right(rows[path], fact, metrics_known=False)
    assert sum(len(row.metrics) for row in rows.values()) >= sum(len(fact.metrics) for fact in tree.facts.values()) / 3


def test_without_its_newest_the_others_are_as_they_were(laid_out: tuple[Path, Tree], catalog: Catalog) -> None:
    root, tree = laid_out
    catalog.scan(root)
    newest = root / tree.newest
    shutil.rmtree(newest) if newest.is_dir() else newest.unlink()
    assert catalog.scan(root).missing == 1
    rows = rows_of(catalog)
    assert rows.keys() == tree.facts.keys() - {tree.newest}
    for path, row in rows.items():
        is_right(row, tree.facts[path])


def test_metrics_that_come_later_are_seen(laid_out: tuple[Path, Tree], catalog: Catalog) -> None:
    root, tree = laid_out
    whole = {path: (root / path).read_bytes() for path in tree.grows}
    for path, content in whole.items():
        (root / path).write_bytes(content[: len(content) // 2])
    catalog.scan(root)
    for path, content in whole.items():
        (root / path).write_bytes(content)
    assert catalog.scan(root).problems == ()
    for path, row in rows_of(catalog).items():
        is_right(row, tree.facts[path])
