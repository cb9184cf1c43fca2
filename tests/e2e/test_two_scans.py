"""Two scans at once: the one that looked at a file earlier, and writes later, doesn't undo what the other one wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.settings import Settings
from catalogdb.store import Ledger
from tests.e2e.layout_trees import lightning, save, text

pytest.importorskip("torch")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "x.ckpt"
    save(path, lightning(1, 10))
    return path


def opened(path: Path) -> Catalog:
    url = f"sqlite:///{path.parents[1] / 'catalog.db'}"
    return Catalog.open(url, settings=Settings(url=url))


def says(path: Path, loss: float) -> None:
    content = (
        f"exp_name: run\ntraining: {{epoch: 1, global_step: 10}}\nmetrics: {{additional_metrics: {{m: {loss}}}}}\n"
    )
    text(path.with_suffix(".metadata.yaml"), content)


def between(monkeypatch: pytest.MonkeyPatch, method: str, meanwhile: Callable[[], None]) -> None:
    """Has something done after a scan's look at the disk, before it writes what it saw."""
    original = getattr(Ledger, method)

    def late(ledger: Ledger, *arguments: object, **more: object) -> object:
        monkeypatch.setattr(Ledger, method, original)
        meanwhile()
        return original(ledger, *arguments, **more)

    monkeypatch.setattr(Ledger, method, late)


def test_an_older_reading_gives_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other() -> None:
        says(path, 0.1)
        with opened(path) as catalog:
            catalog.ingest(path, use_wandb=False)

    with opened(path) as catalog:
        catalog.scan(path.parent, use_wandb=False)
        says(path, 0.5)
        between(monkeypatch, "write", other)
        catalog.scan(path.parent, use_wandb=False)
        assert catalog.get(path).metrics == {"m": 0.1}
        assert catalog.scan(path.parent, use_wandb=False).updated == 1, "it was due for another look"
        assert catalog.scan(path.parent, use_wandb=False).updated == 0
        assert catalog.get(path).metrics == {"m": 0.1}


def test_a_file_that_came_back_is_not_missing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = path.read_bytes()

    def other() -> None:
        path.write_bytes(content)
        with opened(path) as catalog:
            catalog.ingest(path, use_wandb=False)

    with opened(path) as catalog:
        catalog.scan(path.parent, use_wandb=False)
        path.unlink()
        between(monkeypatch, "finish", other)
        catalog.scan(path.parent, use_wandb=False)
        assert catalog.get(path).state == "ready"
