"""Files that are written under a name of their own and renamed when they are whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogdb import Catalog, Checkpoint
from tests.unit.formats.support import mapping, pickled, torch_zip


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    (tmp_path / "runs").mkdir()
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.db") as opened:
        yield opened


def content(epoch: int) -> bytes:
    return torch_zip(pickled(mapping(epoch=b"K" + bytes((epoch,)))))


def rows(catalog: Catalog, runs: Path) -> dict[str, Checkpoint]:
    catalog.scan(runs)
    return {Path(row.path).name: row for row in catalog.search("state IS NOT NULL", max_results=None)}


@pytest.mark.parametrize("name", ["a.ckpt.tmp", "a.ckpt.tmp.4711", "a.ckpt.part", "a.tmp"])
def test_a_temporary_name_has_no_row_and_takes_nothing_from_the_files_beside_it(
    tmp_path: Path, catalog: Catalog, name: str
) -> None:
    """What a reader would find under the final name is whole all the time: that is why it is written so."""
    runs = tmp_path / "runs"
    written = runs / name
    written.write_bytes(content(1)[:50])
    assert rows(catalog, runs) == {}
    written.write_bytes(content(1))
    written.replace(runs / "a.ckpt")
    first = rows(catalog, runs)["a.ckpt"]
    assert (first.state, first.epoch) == ("ready", 1)
    written.write_bytes(content(2)[:50])
    assert rows(catalog, runs) == {"a.ckpt": first}
    written.write_bytes(content(2))
    written.replace(runs / "a.ckpt")
    found = rows(catalog, runs)
    assert {name: (row.state, row.epoch) for name, row in found.items()} == {"a.ckpt": ("ready", 2)}


def test_one_that_is_called_like_a_checkpoint_is_one_until_it_has_its_name(tmp_path: Path, catalog: Catalog) -> None:
    """As timm does (``timm/utils/checkpoint_saver.py``): ``tmp.pth.tar`` becomes ``last.pth.tar``."""
    runs = tmp_path / "runs"
    written = runs / "tmp.pth.tar"
    written.write_bytes(content(3)[:50])
    before = rows(catalog, runs)
    assert {name: row.state for name, row in before.items()} == {"tmp.pth.tar": "writing"}
    written.write_bytes(content(3))
    written.replace(runs / "last.pth.tar")
    catalog.scan(runs)
    assert [(Path(row.path).name, row.state, row.epoch) for row in catalog.search("")] == [("last.pth.tar", "ready", 3)]
