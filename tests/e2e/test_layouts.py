"""Each layout's tree: every value right or null; then the same tree moved, its metrics files cut, its newest gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.headlines import HEADLINES
from catalogdb.metric_files.events import HEAD, TAIL
from catalogdb.records import FIELD_NAMES, Checkpoint
from tests.e2e.layout_trees import BUILT, Tree


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


OF_THE_STATE = {"epoch", "global_step", "stated_epoch", "claims", *HEADLINES}


def is_right(row: Checkpoint, tree: Tree, *, metrics_known: bool = True) -> None:
    """Every field, and every parameter. Where metrics aren't all known, each is the very value, or one that the file's
    name states, rounded."""
    fact = tree.facts[row.rel_path]
    assert (row.epoch, row.global_step, row.stated_epoch) == (fact.epoch, fact.step, fact.stated_epoch)
    others = {name: getattr(row, name) for name in FIELD_NAMES if name not in OF_THE_STATE}
    expected = {**tree.others, **fact.others}
    if "config_path" in expected:
        expected["config_path"] = f"{row.root}/{expected['config_path']}"
    if metrics_known or "monitor" not in fact.others:  # its spelling is the metrics file's
        assert {name: value for name, value in others.items() if value is not None} == expected
    assert row.params == {**tree.params, **fact.params}
    if metrics_known:
        assert row.metrics == fact.metrics
    else:
        assert row.metrics.keys() <= fact.metrics.keys()
        for name, value in row.metrics.items():
            rounded = 0.005 if "=" in row.provenance[f"metrics.{name}"]["key"] else 0
            assert value == pytest.approx(fact.metrics[name], abs=rounded, rel=0)
    assert all(row.provenance[f"metrics.{name}"]["scope"] == "checkpoint" for name in row.metrics)


def test_every_value_is_right_or_null(laid_out: tuple[Path, Tree], catalog: Catalog) -> None:
    root, tree = laid_out
    report = catalog.scan(root)
    assert report.problems == ()
    rows = rows_of(catalog)
    assert rows.keys() == tree.facts.keys()
    for path, fact in tree.facts.items():
        is_right(rows[path], tree)
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
        is_right(row, tree)
        assert row.provenance == was.provenance


def entries(path: Path) -> list[bytes]:
    """The file's lines with their ends; of TensorBoard's, its records (``HEAD``, the data, ``TAIL``)."""
    content = path.read_bytes()
    if "tfevents" not in path.name:
        return content.splitlines(keepends=True)
    found = []
    while content:
        size = HEAD.size + HEAD.unpack_from(content)[0] + TAIL
        found.append(content[:size])
        content = content[size:]
    return found


CUTS: dict[str, Callable[[list[bytes]], tuple[int, float]]] = {
    "the last one in its middle": lambda entries: (len(entries) - 1, 0.5),
    "the last one before its end": lambda entries: (len(entries) - 1, 1),
    "one of the middle": lambda entries: (len(entries) // 2, 0.5),
    "the first one": lambda entries: (0, 0.5),
}
"""Which entry is torn, and how much of it is left; never its end."""


@pytest.mark.parametrize("cut", CUTS)
def test_of_a_metrics_file_that_was_cut_every_whole_line_counts_and_nothing_else(
    laid_out: tuple[Path, Tree], catalog: Catalog, cut: str
) -> None:
    """The rows are those that the file without its torn line gives, to the last digit."""
    root, tree = laid_out
    torn = {}
    for path in tree.grows:
        every = entries(root / path)
        place, share = CUTS[cut](every)
        whole, rest = b"".join(every[:place]), every[place]
        torn[path] = whole + rest[: max(1, min(int(len(rest) * share), len(rest) - 1))]
        (root / path).write_bytes(whole)
    with Catalog.open("sqlite://") as without:
        without.scan(root)
        expected = {path: (row.metrics, row.provenance) for path, row in rows_of(without).items()}
    for path, content in torn.items():
        (root / path).write_bytes(content)
    assert catalog.scan(root).problems == ()
    rows = rows_of(catalog)
    assert {path: (row.metrics, row.provenance) for path, row in rows.items()} == expected
    for row in rows.values():
        is_right(row, tree, metrics_known=False)
    if cut.startswith("the last one"):
        known = sum(len(row.metrics) for row in rows.values())
        assert known >= sum(len(fact.metrics) for fact in tree.facts.values()) / 3


def test_without_its_newest_the_others_are_as_they_were(laid_out: tuple[Path, Tree], catalog: Catalog) -> None:
    root, tree = laid_out
    catalog.scan(root)
    newest = root / tree.newest
    shutil.rmtree(newest) if newest.is_dir() else newest.unlink()
    assert catalog.scan(root).missing == 1
    rows = rows_of(catalog)
    assert rows.keys() == tree.facts.keys() - {tree.newest}
    for row in rows.values():
        is_right(row, tree)


def test_metrics_that_come_later_are_seen(laid_out: tuple[Path, Tree], catalog: Catalog) -> None:
    root, tree = laid_out
    whole = {path: (root / path).read_bytes() for path in tree.grows}
    for path, content in whole.items():
        (root / path).write_bytes(content[: len(content) // 2])
    catalog.scan(root)
    for path, content in whole.items():
        (root / path).write_bytes(content)
    assert catalog.scan(root).problems == ()
    for row in rows_of(catalog).values():
        is_right(row, tree)
