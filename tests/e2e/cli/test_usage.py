"""Help, version, usage errors, and where the catalog is."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import click
import pytest

from catalogdb import __version__
from catalogdb.cli import main as funnel
from catalogdb.cli.main import cli
from tests.e2e.cli.harness import Demo, Ended, Run, assert_one_line
from tools import reference


@pytest.mark.parametrize("path", [path for path, _ in reference.commands()[1:]])
def test_help_gives_examples_and_the_global_options(run: Run, path: str) -> None:
    ended = run(*path.split()[1:], "--help")
    assert (ended.code, ended.err) == (0, "")
    assert "Examples:\n" in ended.out
    assert "Global options:" in ended.out
    assert "--db URL" in ended.out


def test_every_command_is_in_the_help(run: Run) -> None:
    ended = run("--help")
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.short_help
        assert command.short_help in ended.out


def test_help_imports_no_command() -> None:
    script = (
        "import sys; from catalogdb.cli.main import main; main(['--help']); "
        "sys.exit(any(name in sys.modules for name in ('sqlalchemy', 'rich', 'pydantic', 'catalogdb.catalog')))"
    )
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_a_pipe_needs_no_rich(demo: Demo) -> None:
    script = (
        "import sys; from catalogdb.cli.main import main; code = main(sys.argv[1:]); "
        "sys.exit(code or any(name in sys.modules for name in ('rich', 'wandb', 'watchdog', 'torch')))"
    )
    arguments = ["best", "-m", "val/hmean", "--format", "table", "--db", str(demo.database)]
    assert (
        subprocess.run([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, check=False).returncode == 0
    )


@pytest.mark.parametrize("arguments", [["--version"], ["ls", "--version"], ["db", "--version"]], ids=" ".join)
def test_version(run: Run, arguments: list[str]) -> None:
    assert run(*arguments) == Ended(0, f"catalogdb {__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["db"]], ids=["catalogdb", "catalogdb db"])
def test_no_command_shows_help_on_stderr(run: Run, arguments: list[str]) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Commands:" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lst"], ["no command 'lst'", "did you mean", "ls"]),
        (["db", "upgrad"], ["no command 'upgrad'", "did you mean upgrade?"]),
        (["best"], ["-m", "catalogdb best --help"]),
        (["best", "-m", "x", "--mode", "up"], ["--mode", "max"]),
        (["best", "-m", "x", "-n", "-1"], ["-n"]),
        (["ls", "--format", "xml"], ["xml", "jsonl"]),
        (["ls", "--format", "csv", "--print0"], ["--print0", "--format csv"]),
        (["ls", "--nope"], ["--nope"]),
        (["ls", "a", "b"], ["b"]),
        (["scan"], ["catalogdb scan ROOT"]),
        (["scan", "x", "--workers", "0"], ["--workers"]),
        (["show"], ["REF"]),
        (["sql"], ["QUERY"]),
        (["ls", "--db", "postgresql://host/x"], ["SQLite"]),
        (["ls", "--db", ""], ["--db"]),
        (["ls", "--config", "nope.toml"], ["--config: nope.toml: no such file"]),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_usage_errors(run: Run, arguments: list[str], words: list[str]) -> None:
    assert_one_line(run(*arguments), 2, *words)


def test_settings_errors_name_the_place(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "catalogdb.toml").write_text("rots = []\n", encoding="utf-8")
    assert_one_line(run("ls"), 2, f"{home}/catalogdb.toml: rots", "did you mean roots?")
    (home / "catalogdb.toml").unlink()
    monkeypatch.setenv("CATALOGDB_WANDB_TIMEOUT", "soon")
    assert_one_line(run("ls"), 2, "CATALOGDB_WANDB_TIMEOUT: 'soon'")


def test_debug_shows_the_traceback(run: Run) -> None:
    for arguments in (["--debug", "ls", "--db", "no.db"], ["ls", "--db", "no.db", "--debug"]):
        ended = run(*arguments)
        assert ended.code == 3
        assert "Traceback" in ended.err
        assert ended.err.splitlines()[-1].startswith("catalogdb: error: ")


def test_a_bug_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise RuntimeError("boom")

    monkeypatch.setattr(funnel, "_run", broken)
    assert_one_line(run("ls"), 3, "a bug in catalogdb", "RuntimeError: boom", "--debug")


@pytest.mark.parametrize("form", ["path", "relative", "url"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_db_before_and_after_the_command(
    run: Run, demo: Demo, monkeypatch: pytest.MonkeyPatch, form: str, before: bool
) -> None:
    monkeypatch.chdir(demo.database.parent)
    written = {"path": str(demo.database), "relative": "catalog.db", "url": f"sqlite:///{demo.database}"}[form]
    option = ["--db", written]
    command = ["best", "-m", "val/hmean"]
    ended = run(*option, *command) if before else run(*command, *option)
    assert ended.code == 0
    assert Path(ended.lines[0]).is_file()


def test_db_of_a_nested_command(run: Run, demo: Demo) -> None:
    option = ["--db", str(demo.database)]
    answers = [run(*option, "db", "check"), run("db", *option, "check"), run("db", "check", *option)]
    assert answers == [Ended(0, "ok\n", "")] * 3


def test_the_later_db_wins(run: Run, demo: Demo) -> None:
    assert run("--db", "no.db", "db", "check", "--db", str(demo.database)).code == 0


def test_the_catalog_of_the_environment_and_of_the_project(
    run: Run, demo: Demo, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "catalogdb.toml").write_text(f'url = "{demo.database}"\n', encoding="utf-8")
    assert run("db", "check").out == "ok\n"
    monkeypatch.setenv("CATALOGDB_URL", str(home / "no.db"))
    assert_one_line(run("db", "check"), 3, "no.db", "no such catalog")


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["best", "-m", "x"], ["show", "1"], ["sql", "SELECT 1"], ["status"], ["db", "check"], ["db", "current"],
     ["db", "upgrade"], ["db", "backup", "copy.db"]],
    ids=" ".join,
)  # fmt: skip
def test_asking_a_catalog_that_is_not_there_makes_none(run: Run, home: Path, arguments: list[str]) -> None:
    assert_one_line(run(*arguments, "--db", "no.db"), 3, f"{home}/no.db", "catalogdb scan ROOT")
    assert not (home / "no.db").exists()


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["status"], ["tag", "x.ckpt", "+a"], ["db", "current"], ["db", "upgrade"], ["sidecar", "validate"]],
    ids=" ".join,
)
def test_asking_an_empty_file_writes_nothing(run: Run, home: Path, arguments: list[str]) -> None:
    (home / "e.db").touch()
    assert_one_line(run(*arguments, "--db", "e.db"), 3, "e.db", "holds no catalog yet")
    assert (home / "e.db").stat().st_size == 0


def test_a_file_that_is_no_catalog(run: Run, home: Path) -> None:
    (home / "text.db").write_text("hello " * 1000, encoding="utf-8")
    for arguments in (["ls"], ["db", "current"], ["db", "upgrade"], ["scan", "."]):
        ended = run(*arguments, "--db", "text.db")
        assert_one_line(ended, 3, "text.db")
    assert (home / "text.db").read_text(encoding="utf-8") == "hello " * 1000


def test_a_schema_from_the_future(run: Run, demo: Demo, home: Path) -> None:
    newer = home / "newer.db"
    shutil.copy(demo.database, newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for arguments in (["ls"], ["scan", "."], ["db", "upgrade"]):
        assert_one_line(run(*arguments, "--db", str(newer)), 4, "newer.db")
    ended = run("db", "current", "--db", str(newer))
    assert (ended.code, ended.out) == (4, "9999\n")
