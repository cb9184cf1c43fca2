"""What is written by mistake: an empty path, a file for a folder, a year for a time, numbers in other forms."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import catalogdb
from tests.e2e.cli.harness import Demo, Run, assert_one_line


@pytest.mark.parametrize(
    "arguments",
    [["scan", ""], ["scan", "outputs", ""], ["forget", "", "--force"], ["sidecar", "validate", ""]],
    ids=" ".join,
)
def test_an_empty_path_is_not_the_working_directory(
    demo: Demo, home: Path, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    shutil.copytree(demo.outputs, home / "outputs")
    monkeypatch.setenv("CATALOGDB_URL", str(home / "catalog.db"))
    monkeypatch.chdir(home / "outputs")
    assert run("scan", ".").code == 0
    assert_one_line(run(*arguments), 2, "write . for the working directory")
    with catalogdb.Catalog.open(home / "catalog.db") as catalog:
        assert catalog.known_roots() == [str(home / "outputs")]


def test_an_empty_name_is_no_checkpoint(demo: Demo, run: Run) -> None:
    assert_one_line(run("show", "", "--db", str(demo.database)), 1, "'' is no checkpoint; write its path")


def test_a_file_and_a_gone_folder_of_a_root_leave_its_rows_alone(
    demo: Demo, home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = home / "outputs"
    shutil.copytree(demo.outputs, root)
    monkeypatch.setenv("CATALOGDB_URL", str(home / "catalog.db"))
    assert run("scan", str(root)).code == 0
    wrong = [next(root.rglob("*.ckpt")), root / "no_such_folder"]
    for path in wrong:
        ended = run("scan", str(path))
        assert_one_line(ended, 3, f"for what lies in the root {root}, scan that")
        assert "forget" not in ended.err
    assert run("ls", "stale = true").code == 1
    shutil.move(root, home / "elsewhere")
    ended = run("scan", str(wrong[1]))
    assert_one_line(ended, 3, "its rows are stale until it can be scanned")
    assert "forget" not in ended.err
    assert f"catalogdb forget {root} drops them" in run("scan", str(root)).err


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("1e-4", "real"),
        ("-2.5e-3", "real"),
        ("0.10", "real"),
        (".5", "real"),
        ("3", "integer"),
        ("-0", "integer"),
        ("1e5", "text"),
        ("007", "text"),
        ("1.5e999", "text"),
        ("nan", "text"),
        ("99999999999999999999", "text"),
    ],
)
def test_numbers_for_sql(ask: Run, written: str, kind: str) -> None:
    assert ask("sql", "SELECT typeof(:a) AS kind", "-p", "a", written, "--format", "csv").lines == ["kind", kind]


def test_a_learning_rate_for_sql(ask: Run) -> None:
    query = "SELECT count(*) AS n FROM checkpoint_params WHERE name = 'optimizer.lr' AND value < :lr"
    assert json.loads(ask("sql", query, "-p", "lr", "1e-4", "--format", "json").out) == [{"n": 0}]


@pytest.mark.parametrize("where", ["epoch =", "epoch = 5) OR (epoch = 6"])
def test_an_error_of_verify_shows_the_filter_as_it_was_written(ask: Run, where: str) -> None:
    ended = ask("verify", where)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[1] == f"  {where}"


def test_a_column_with_a_space_in_its_name(ask: Run) -> None:
    ended = ask("ls", "-n", "1", "-c", "params.two words,tags.two words")
    assert (ended.code, ended.lines[0].split("  ")) == (0, ["params.two words", "tags.two words"])
    assert ended.err.startswith("no checkpoint has the param two words\n")


def test_a_year_is_no_time_and_an_age_may_stand_in_quotes(ask: Run, demo: Demo) -> None:
    assert "is a time; write 2026-01-31" in ask("ls", "mtime > 2026").err
    assert ask("ls", "mtime > -9w", "-c", "path").out == ask("ls", "mtime > '-9w'", "-c", "path").out != ""
    with catalogdb.Catalog.open(demo.database) as catalog:
        assert len(catalog.search(filters={"mtime": {"$gt": "-9w"}}, max_results=None)) == demo.size
        with pytest.raises(catalogdb.QueryError, match="is a time"):
            catalog.search(filters={"mtime": {"$gt": "-99999999999w"}})


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ("state = 'Ready'", "no state is called 'Ready'; they are ready, writing, truncated, unreadable, missing"),
        ("source IN ('yaml', 'w&b') AND epoch > 99", "no source is called 'w&b'; they are yaml, wandb, legacy"),
    ],
)
def test_a_word_that_a_field_never_has(ask: Run, where: str, hint: str) -> None:
    ended = ask("ls", where)
    assert (ended.code, ended.err.splitlines()[0]) == (1, hint)
    assert "is called" not in ask("ls", "state = 'missing'").err


def test_a_folder_that_is_not_there_for_a_backup(ask: Run, home: Path) -> None:
    assert_one_line(ask("db", "backup", str(home / "nowhere" / "x.db")), 3, f"{home / 'nowhere'}: no such folder")


def test_watch_either_leaves_or_goes_on(run: Run, demo: Demo) -> None:
    assert_one_line(run("watch", "--once", "--detach", str(demo.outputs)), 2, "write one of them")


def test_facts_that_are_not_text(ask: Run, home: Path) -> None:
    (home / "facts.jsonl").write_bytes(b"SQLite\xec\n")
    assert_one_line(ask("db", "import-facts", str(home / "facts.jsonl")), 2, "facts.jsonl:1: isn't UTF-8")
