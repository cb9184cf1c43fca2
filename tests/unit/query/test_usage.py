"""Disk use: every file once, and what twins would give back, against a walk over the same tree."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.demo import lay_out
from catalogdb.errors import QueryError
from catalogdb.records import DiskUse


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's outputs and, in a second root, links and copies of all kinds."""
    folder = tmp_path_factory.mktemp("usage")
    lay_out(folder)
    source = folder / "outputs" / "pan-resnet18" / "checkpoints" / "epoch=05-val_loss=0.488.ckpt"
    more = folder / "more"
    (more / "links").mkdir(parents=True)
    shutil.copy(source, more / "copy.ckpt")
    (more / "links" / "hard.ckpt").hardlink_to(more / "copy.ckpt")
    (more / "links" / "soft.ckpt").symlink_to(more / "copy.ckpt")
    (more / "links" / "chain.ckpt").symlink_to(more / "links" / "soft.ckpt")
    (more / "links" / "other-root.ckpt").symlink_to(source)
    outside = folder / "elsewhere.ckpt"
    shutil.copy(source, outside)
    for name in ("outside-1.ckpt", "outside-2.ckpt"):
        (more / "links" / name).symlink_to(outside)
    (more / "broken.ckpt").write_bytes(source.read_bytes()[:-100])
    os.utime(more / "broken.ckpt", (1_700_000_000, 1_700_000_000))
    return folder


@pytest.fixture(scope="module")
def catalog(tree: Path) -> Iterator[Catalog]:
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(tree / "outputs", tree / "more", workers=1)
        yield catalog


def test_the_total_is_that_of_the_disk(catalog: Catalog, tree: Path) -> None:
    rows = catalog.search("", max_results=None)
    sizes: dict[tuple[int, int], int] = {}
    for row in rows:
        status = Path(row.path).stat()
        sizes[status.st_dev, status.st_ino] = status.st_size
    for per in ("state", "exp_name", "architecture", "run", "root", "params.optimizer.lr", "metrics.val/loss", "stale"):
        found = catalog.disk_use(per)
        assert sum(use.size_bytes for use in found) == sum(sizes.values()), per
        assert sum(use.files for use in found) == len(sizes), per
        assert sum(use.checkpoints for use in found) == len(rows), per
        assert [use.size_bytes for use in found] == sorted((use.size_bytes for use in found), reverse=True)


def test_twins(catalog: Catalog) -> None:
    """Of each group of files with the same weights, all but one; links are no twins."""
    files: dict[tuple[int, int], tuple[str, int]] = {}
    for row in catalog.search("", max_results=None):
        status = Path(row.path).stat()
        if row.weights is not None and row.weights.fingerprint is not None:
            files[status.st_dev, status.st_ino] = (row.weights.fingerprint, status.st_size)
    groups: dict[str, list[int]] = defaultdict(list)
    for fingerprint, size in files.values():
        groups[fingerprint].append(size)
    expected = sum(sum(sizes) - max(sizes) for sizes in groups.values())
    assert expected > 0
    for per in ("state", "exp_name", "root"):
        assert sum(use.twin_bytes for use in catalog.disk_use(per)) == expected, per


def test_a_link_is_its_file_s(catalog: Catalog, tree: Path) -> None:
    """A link in one root to a file in another one takes nothing in its own."""
    more = next(use for use in catalog.disk_use("root") if use.value == str(tree / "more"))
    size = (tree / "more" / "copy.ckpt").stat().st_size
    assert (more.checkpoints, more.files) == (8, 3)
    assert more.size_bytes == 2 * size + (size - 100)


def test_by_state(catalog: Catalog) -> None:
    found = {use.value: use for use in catalog.disk_use()}
    assert found.keys() == {"ready", "truncated"}
    assert found["truncated"].checkpoints == 1


def test_null_is_a_value(catalog: Catalog) -> None:
    assert None in {use.value for use in catalog.disk_use("params.optimizer.lr")}
    assert {use.value for use in catalog.disk_use("stale")} == {False}


def test_what_is_missing_takes_nothing(tmp_path: Path) -> None:
    outputs = lay_out(tmp_path)
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(outputs, workers=1)
        shutil.rmtree(outputs / "run_042")
        catalog.scan(outputs, workers=1)
        assert "missing" not in {use.value for use in catalog.disk_use()}
        assert sum(use.checkpoints for use in catalog.disk_use("exp_name")) == 16


@pytest.mark.parametrize(("per", "message"), [("exp_nam", "exp_name"), ("mtime", "a time"), ("params.", "name")])
def test_what_is_no_field(catalog: Catalog, per: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        catalog.disk_use(per)


def test_nothing() -> None:
    with Catalog.open("sqlite://") as catalog:
        assert catalog.disk_use() == []


def test_a_value_in_the_name_of_a_field_is_bound(catalog: Catalog) -> None:
    (use,) = catalog.disk_use("params.`x'; DROP TABLE checkpoints; --`")
    assert isinstance(use, DiskUse)
    assert use.value is None
