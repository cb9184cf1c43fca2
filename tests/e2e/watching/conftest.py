"""A root, and a watcher with events or without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.watching.harness import Watching, watching

EVENTS: tuple[str, ...] = ()
POLLING = ("--poll",)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "outputs"
    root.mkdir()
    return root


@pytest.fixture(params=[EVENTS, POLLING], ids=["events", "polling"])
def watcher(request: pytest.FixtureRequest, root: Path) -> Iterator[Watching]:
    with watching(root, root.parent / "catalog.db", *request.param, CATALOGDB_WATCH_POLL="0.3") as watcher:
        yield watcher
