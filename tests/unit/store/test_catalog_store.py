"""One catalog's file as a whole: opened, closed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from catalogdb import Catalog, CatalogError
from catalogdb.demo import lay_out
from catalogdb.errors import NetworkFilesystemWarning
from catalogdb.mounts import mount_of
from catalogdb.store import catalog_store

QUESTIONS: dict[str, Callable[[Catalog, Path], object]] = {
    "best": lambda catalog, _: catalog.best("val/hmean"),
    "search": lambda catalog, _: catalog.search("epoch > 1"),
    "iter_search": lambda catalog, _: list(catalog.iter_search("epoch > 1")),
    "count": lambda catalog, _: catalog.count(""),
    "get": lambda catalog, _: catalog.get(1),
    "sql": lambda catalog, _: catalog.sql("SELECT 1"),
    "status": lambda catalog, _: catalog.status(),
    "check": lambda catalog, _: catalog.check(),
    "scan": lambda catalog, folder: catalog.scan(folder, workers=1),
    "tag": lambda catalog, _: catalog.tag(1, "kept"),
    "backup": lambda catalog, folder: catalog.backup(folder / "copy.db"),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("url", ["sqlite:///{}/catalog.db", "sqlite://"], ids=["file", "memory"])
def test_a_closed_catalog_says_so(tmp_path: Path, url: str, ask: Callable[[Catalog, Path], object]) -> None:
    with Catalog.open(url.format(tmp_path)) as catalog:
        assert catalog.count("") == 0
    catalog.close()
    with pytest.raises(CatalogError) as caught:
        ask(catalog, tmp_path)
    assert str(caught.value) == "this catalog is closed"
    assert catalog.url.startswith("sqlite:")
    assert not (tmp_path / "catalog.db-wal").exists()


class TestWithoutAName:
    """A catalog that nobody else sees is like any other while it's open."""

    @pytest.fixture
    def catalog(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        with Catalog.open("sqlite://") as catalog:
            catalog.scan(lay_out(tmp_path), use_wandb=False)
            yield catalog

    def test_nothing_is_left_of_it(self, catalog: Catalog, tmp_path: Path) -> None:
        assert catalog.url == "sqlite://"
        assert [*(tmp_path / "temporary").iterdir()] != []
        catalog.close()
        assert [*(tmp_path / "temporary").iterdir()] == []

    def test_who_reads_may_write(self, catalog: Catalog) -> None:
        for row in catalog.iter_search():
            catalog.tag(row.id, "+seen")
        rows = catalog.sql("SELECT path FROM checkpoint_overview").rows
        first = next(rows)
        catalog.note(1, "between two rows")
        assert len([first, *rows]) == catalog.count("'seen' IN tags") == 20

    def test_several_threads(self, catalog: Catalog) -> None:
        def work(number: int) -> int:
            for step in range(20):
                catalog.tag(1 + (number + step) % 20, f"+by-{number}")
                assert len(catalog.search("")) == 20
            return catalog.count(f"'by-{number}' IN tags")

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(work, range(4))) == [20] * 4


def test_a_catalog_on_a_network_filesystem_is_warned_of_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests' disk is local: the table of mounts is another one."""
    table = tmp_path / "mountinfo"
    table.write_text(
        f"30 22 0:40 / {tmp_path.resolve()}/mounted rw shared:2 - nfs4 server:/export rw\n", encoding="utf-8"
    )
    monkeypatch.setattr(catalog_store, "mount_of", partial(mount_of, table=table))
    (tmp_path / "mounted").mkdir()
    (tmp_path / "link").symlink_to("mounted")
    with pytest.warns(NetworkFilesystemWarning, match="link/catalog.db lies on nfs4"):
        Catalog.open(tmp_path / "link" / "catalog.db").close()
