"""However a path is written, it means the one row of its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.errors import CatalogError, NotFound, RootError
from tests.unit.formats.support import safetensors

LOOPS = ("loop", "loop/y.ckpt")


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    outputs = tmp_path / "outputs"
    (outputs / "sub").mkdir(parents=True)
    for place in ("a.safetensors", "sub/b.safetensors"):
        (outputs / place).write_bytes(
            safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))
        )
    (tmp_path / "link").symlink_to(outputs)
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    return outputs


@pytest.mark.parametrize(
    "written", ["outputs/sub/..", "outputs/sub/../.", "link", "link/.", "./outputs//", "outputs/sub/../sub"]
)
def test_looking_again_makes_no_second_row(outputs: Path, written: str) -> None:
    with Catalog.open("sqlite://") as catalog:
        catalog.scan("link")
        report = catalog.ingest(written)
        assert (report.new, report.unchanged) in {(0, 2), (0, 1)}
        assert [row.rel_path for row in catalog.search("state IS NOT NULL")] == ["a.safetensors", "sub/b.safetensors"]


def test_a_link_that_no_scan_saw_means_the_checkpoint_that_it_leads_to(outputs: Path) -> None:
    with Catalog.open("sqlite://") as catalog:
        catalog.scan("outputs")
        Path("best.safetensors").symlink_to("outputs/a.safetensors")
        assert (
            catalog.get("best.safetensors").rel_path
            == catalog.get("link/sub/../a.safetensors").rel_path
            == "a.safetensors"
        )


@pytest.mark.parametrize("path", LOOPS)
def test_a_link_to_itself_is_nothing(outputs: Path, path: str) -> None:
    with Catalog.open("sqlite://") as catalog:
        with pytest.raises(RootError, match="loop"):
            catalog.scan(path)
        catalog.scan("outputs")
        for ask in (catalog.get, catalog.ingest, catalog.forget):
            with pytest.raises(CatalogError, match="loop"):
                ask(path)


@pytest.mark.parametrize("ref", ["1" * 5000, "a\0/b", "\udcff", ""])
def test_what_no_path_can_be_is_not_found(outputs: Path, ref: str) -> None:
    with Catalog.open("sqlite://") as catalog, pytest.raises(NotFound):
        catalog.get(ref)


def test_an_empty_name_says_what_to_write() -> None:
    with Catalog.open("sqlite://") as catalog, pytest.raises(NotFound, match="'' is no checkpoint; write its path"):
        catalog.get("")


@pytest.mark.parametrize(
    "ask",
    [
        lambda catalog: catalog.search(columns=["params.\udcff"]),
        lambda catalog: catalog.search(filters={"exp_name": "\udcff"}),
        lambda catalog: catalog.search("exp_name = '\udcff'"),
        lambda catalog: catalog.sql("SELECT '\udcff'"),
        lambda catalog: catalog.sql("SELECT :a", {"a": "\udcff"}),
        lambda catalog: catalog.clear_runs(run="\udcff"),
        lambda catalog: catalog.best("\udcff"),
    ],
)
def test_text_that_is_no_unicode_is_one_clear_line(outputs: Path, ask: Callable[[Catalog], object]) -> None:
    with Catalog.open("sqlite://") as catalog:
        catalog.scan("outputs")
        with pytest.raises(CatalogError) as caught:
            ask(catalog)
        str(caught.value).encode()
