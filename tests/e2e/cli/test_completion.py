"""Completion through click's own protocol, in a process of its own, and through bash itself."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from catalogdb.cli.main import main
from catalogdb.names import names_in
from tests.e2e.cli.harness import PROGRAM, Demo

METRICS = {"val/hmean", "val/loss", "val/precision", "val/recall"}


@pytest.fixture(scope="module")
def named(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("named") / "catalog.db"
    shutil.copy(demo.database, file)
    assert main(["tag", "1", "+stage=prod", "--db", str(file)]) == 0
    assert main(["alias", "1", "production", "--db", str(file), "-q"]) == 0
    return file


def offered(line: str, database: Path, shell: str = "bash") -> list[str]:
    """What is offered for the last word of ``line``, whose first is the program."""
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    environment = {**os.environ, "CATALOGDB_URL": str(database), "_CATALOGDB_COMPLETE": f"{shell}_complete"}
    environment |= {"COMP_WORDS": shlex.join(words), "COMP_CWORD": str(len(words) - 1)}
    if shell == "fish":
        environment |= {"COMP_WORDS": line, "COMP_CWORD": words[-1]}
    done = subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("catalogdb b", {"plain,best"}),
        ("catalogdb best --m", {"plain,--metric", "plain,--mode"}),
        ("catalogdb best --mode ", {"plain,min", "plain,max"}),
        ("catalogdb best -m val/", {f"plain,{name}" for name in METRICS}),
        ("catalogdb plot -m val/h", {"plain,val/hmean"}),
        ("catalogdb best -m val/hmean --per arch", {"plain,architecture"}),
        ("catalogdb du --per params.optimizer.l", {"plain,params.optimizer.lr"}),
        ("catalogdb plot -m val/hmean --by tags.", {"plain,tags.stage"}),
        ("catalogdb ls -c path,metrics.val/h", {"plain,path,metrics.val/hmean"}),
        ("catalogdb ls -S ep", {"plain,epoch"}),
        ("catalogdb show @", {"plain,@production"}),
        ("catalogdb show out", {"file,out"}),
        ("catalogdb scan out", {"file,out"}),
        ("catalogdb best -m no-such", set()),
    ],
)
def test_what_is_offered(named: Path, line: str, expected: set[str]) -> None:
    assert set(offered(line, named)) == expected


def test_the_catalog_is_that_of_the_line(named: Path, home: Path) -> None:
    nowhere = home / "nowhere.db"
    assert offered("catalogdb best -m val/h", nowhere) == []
    assert offered(f"catalogdb --db {named} best -m val/h", nowhere) == ["plain,val/hmean"]
    assert offered(f"catalogdb best --db {named} -m val/h", nowhere) == ["plain,val/hmean"]
    assert not nowhere.exists()


def test_every_shell_is_offered_the_same(named: Path) -> None:
    assert offered("catalogdb best -m val/h", named, "zsh")[:2] == ["plain", "val/hmean"]
    assert [line for line in offered("catalogdb best -m val/h", named, "fish") if "val/hmean" in line]


def test_a_file_that_is_no_catalog_has_no_names(home: Path) -> None:
    (home / "text.db").write_text("not a database, but long enough for SQLite to look at" * 50)
    (home / "empty.db").touch()
    for name in ("text.db", "empty.db", "none.db"):
        assert names_in(home / name, "metrics") == []
    assert not (home / "none.db").exists()


@pytest.mark.parametrize("line", ["catalogdb ", "catalogdb best --", "catalogdb best -m val/", "catalogdb scan --"])
def test_no_key_waits_for_heavy_imports(named: Path, line: str) -> None:
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    script = (
        "import atexit, sys; from catalogdb.cli.main import main; "
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main()"
    )
    environment = {**os.environ, "CATALOGDB_URL": str(named), "_CATALOGDB_COMPLETE": "bash_complete"}
    environment |= {"COMP_WORDS": shlex.join(words), "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run([PROGRAM[0], "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert loaded & {"sqlalchemy", "pydantic", "alembic", "yaml", "lark", "rich", "watchdog", "plotext"} == set()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_itself_completes(named: Path, home: Path) -> None:
    program = home / "catalogdb"
    program.write_text(f"#!/bin/sh\nexec {PROGRAM[0]} -c '{PROGRAM[2]}' \"$@\"\n", encoding="utf-8")
    program.chmod(0o755)
    script = """
        eval "$(_CATALOGDB_COMPLETE=bash_source catalogdb)"
        complete -p catalogdb
        COMP_WORDS=(catalogdb best -m val/h); COMP_CWORD=3
        _catalogdb_completion catalogdb val/h -m
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = {**os.environ, "PATH": f"{home}:{os.environ['PATH']}", "CATALOGDB_URL": str(named)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    registered, *names = done.stdout.splitlines()
    assert "_catalogdb_completion" in registered
    assert names == ["val/hmean"]
