"""One catalog's file as a whole: opened, closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from catalogdb import Catalog, CatalogError

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
