from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from catalogdb.store.engine import ReadingConnection
from tests.unit.query.world import empty_database


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadingConnection]:
    raw = empty_database(tmp_path_factory.mktemp("template"))
    yield raw
    raw.close()


@pytest.fixture
def database(template: sqlite3.Connection) -> Iterator[ReadingConnection]:
    """An empty catalog in memory."""
    raw = sqlite3.connect(":memory:", isolation_level=None, factory=ReadingConnection)
    template.backup(raw)
    yield raw
    raw.close()
