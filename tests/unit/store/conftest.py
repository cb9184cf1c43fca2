"""An empty catalog in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from catalogdb.store.engine import make_engine, parse_url
from catalogdb.store.migrate import open_schema


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def engine(database: Path) -> Iterator[Engine]:
    engine = make_engine(parse_url(f"sqlite:///{database}"))
    open_schema(engine)
    yield engine
    engine.dispose()
