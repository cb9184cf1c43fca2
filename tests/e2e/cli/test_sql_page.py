"""docs/sql.md says what the views hold, and its questions can be asked; Datasette shows the same views."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.cli.harness import Demo, Run

PAGE = (Path(__file__).parents[3] / "docs" / "sql.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"^([^\n]+\?)[^\n]*\n\n```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
VIEWS = re.findall(r"^### (\w+)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)

OF_NOTHING = {"stopped before", "known of a run", "crashed or failed", "on disk in the last day"}
"""Questions that the demo's catalog rightly answers with no row."""


def test_there_are_a_dozen_questions_and_five_views() -> None:
    assert len(QUESTIONS) >= 12
    assert len(QUESTIONS) == PAGE.count("```sql\n")
    assert [name for name, _ in VIEWS] == [
        "checkpoint_overview", "checkpoint_metrics", "checkpoint_params", "best_checkpoints", "wandb_run_cache",
    ]  # fmt: skip


@pytest.mark.parametrize(("question", "sql"), QUESTIONS, ids=[question for question, _ in QUESTIONS])
def test_a_question_is_answered(ask: Run, question: str, sql: str) -> None:
    ended = ask("sql", sql, "--format", "json")
    assert ended.code == 0, ended.err
    nothing = any(words in question for words in OF_NOTHING)
    assert bool(json.loads(ended.out)) is not nothing, question


@pytest.mark.parametrize(("view", "text"), VIEWS, ids=[name for name, _ in VIEWS])
def test_the_columns_of_a_view_are_those_that_the_page_names(demo: Demo, view: str, text: str) -> None:
    with closing(sqlite3.connect(demo.database)) as raw:
        columns = [row[1] for row in raw.execute(f"PRAGMA table_info({view})")]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == columns


Get = Callable[[str], Any]


@pytest.fixture(scope="module")
def datasette(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Get:
    """Datasette's answer to one request, as a page's text or as JSON, over a copy of the demo's catalog."""
    if find_spec("datasette") is None:
        pytest.skip("datasette is of the development group")
    file = tmp_path_factory.mktemp("datasette") / "catalog.db"
    shutil.copy(demo.database, file)

    def get(path: str) -> Any:
        command = [sys.executable, "-m", "datasette", str(file), "--get", path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if ".json" in path else done.stdout

    return get


@pytest.mark.parametrize("view", [name for name, _ in VIEWS])
def test_datasette_shows_a_view(datasette: Get, demo: Demo, view: str) -> None:
    with closing(sqlite3.connect(demo.database)) as raw:
        cursor = raw.execute(f"SELECT * FROM {view}")
        columns, rows = [column[0] for column in cursor.description], len(cursor.fetchall())
    assert rows
    page = datasette(f"/catalog/{view}")
    assert "<table" in page
    assert all(f">{column}" in page for column in columns)
    assert len(datasette(f"/catalog/{view}.json?_shape=array&_size=1000")) == rows


@pytest.mark.parametrize(
    ("view", "column"),
    [("checkpoint_overview", "architecture"), ("checkpoint_metrics", "name"), ("checkpoint_params", "type"),
     ("best_checkpoints", "monitor"), ("wandb_run_cache", "state")],
)  # fmt: skip
def test_datasette_counts_a_facet(datasette: Get, demo: Demo, view: str, column: str) -> None:
    with closing(sqlite3.connect(demo.database)) as raw:
        counted = dict(raw.execute(f"SELECT {column}, count(*) FROM {view} WHERE {column} <> '' GROUP BY 1").fetchall())
    found = datasette(f"/catalog/{view}.json?_facet={column}&_facet_size=max")["facet_results"]
    assert {item["value"]: item["count"] for item in found[column]["results"]} == counted
    value = next(iter(counted))
    rows = datasette(f"/catalog/{view}.json?_shape=array&_size=1000&{column}={quote(value)}")
    assert len(rows) == counted[value]
