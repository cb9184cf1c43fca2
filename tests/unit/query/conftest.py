from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from catalogdb.store.engine import ReadingConnection
from tests.unit.query.world import copy_of, empty_database


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadingConnection]:
    raw = empty_database(tmp_path_factory.mktemp("template"))
    yield raw
    raw.close()


@pytest.fixture
def database(template: sqlite3.Connection) -> Iterator[ReadingConnection]:
    """An empty catalog in memory."""
    with copy_of(template) as raw:
        yield raw
