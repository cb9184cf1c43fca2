"""The program as a shell runs it: pipes, full disks, terminals."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cli.harness import PROGRAM, Demo, Run, Shell


def test_the_seeds_promise(shell: Shell) -> None:
    done = shell('test -f "$(catalogdb best -m val/hmean)"')
    assert (done.returncode, done.stdout) == (0, b"")


def test_a_reader_that_leaves_is_no_error(shell: Shell) -> None:
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n LIMIT 300000) SELECT x FROM n"
    done = shell(f"catalogdb sql '{numbers}' --format csv | head -n 2")
    assert done.stdout == b"x\n1\n"
    assert done.stderr == b""
    assert done.returncode == 0


def test_a_full_disk_is_one_line(shell: Shell) -> None:
    done = shell("catalogdb ls --format json > /dev/full")
    assert done.returncode == 3
    assert done.stderr == b"catalogdb: error: No space left on device\n"


def test_no_colours_in_a_pipe(shell: Shell) -> None:
    done = shell("FORCE_COLOR=1 COLUMNS=40 catalogdb ls | cat")
    assert b"\x1b" not in done.stdout
    assert b".ckpt" in done.stdout


def on_terminal(demo: Demo, columns: int, *arguments: str, no_color: bool = False, code: int = 0) -> str:
    """What a command writes on a real pseudo-terminal."""
    command = shlex.join([*PROGRAM, *arguments, "--db", str(demo.database)])
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    environ.pop("NO_COLOR", None)
    if no_color:
        environ["NO_COLOR"] = "1"
    if shutil.which("script") is None:
        pytest.skip("needs script(1)")
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"], env=environ, capture_output=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout.decode().replace("\r", "")


def plain_lines(text: str) -> list[str]:
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]


@pytest.mark.parametrize("color", [True, False])
def test_a_table_fits_the_terminal(demo: Demo, color: bool) -> None:
    text = on_terminal(demo, 60, "ls", no_color=not color)
    assert "epoch" in text
    assert max(map(len, plain_lines(text))) <= 60
    assert color or not re.search(r"\x1b\[[0-9;]*3[0-9]m", text)


@pytest.mark.parametrize("columns", [30, 60, 100, 250])
def test_show_says_all_on_a_terminal_of_any_width(demo: Demo, columns: int) -> None:
    lines = plain_lines(on_terminal(demo, columns, "show", "1"))
    assert max(map(len, lines)) <= columns
    assert any(line.startswith("architecture") for line in lines)
    words = "".join("".join(lines).split())
    record = json.loads(on_terminal(demo, 80, "show", "1", "--format", "json"))
    if columns != 100:  # there, sources and keys are cut
        for value in (record["path"], record["config_path"], record["provenance"]["hmean"]["source"]):
            assert value in words
        assert all(name in words for name in record["params"])


@pytest.mark.parametrize("columns", [30, 60, 300])
def test_verify_says_all_on_a_terminal_of_any_width(ask: Run, demo: Demo, columns: int) -> None:
    faults = json.loads(ask("verify", "--format", "json").out)
    assert faults
    lines = plain_lines(on_terminal(demo, columns, "verify", code=1))
    assert max(map(len, lines)) <= columns
    words = "".join("".join(lines).split())
    for fault in faults if columns != 60 else ():  # there, two columns are folded side by side
        assert fault["path"] in words
        assert "".join(fault["reason"].split()) in words


def test_a_closed_stdout_is_no_crash(shell: Shell) -> None:
    done = shell("catalogdb ls >&-")
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_warning_is_one_line(home: Path) -> None:
    script = (
        "import sys; from catalogdb.mounts import Mount; from catalogdb.store import catalog_store\n"
        "catalog_store.mount_of = lambda path: Mount('/', 'nfs4', 'server:/export')\n"
        "from catalogdb.cli.main import main; sys.exit(main())"
    )
    (home / "out").mkdir()
    done = subprocess.run([sys.executable, "-c", script, "scan", "out"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.startswith("catalogdb: warning: ")
    assert len(done.stderr.splitlines()) == 1


def test_no_working_directory_is_one_line(shell: Shell, home: Path) -> None:
    done = shell("mkdir gone && cd gone && rmdir ../gone && catalogdb ls 2>&1 | grep -v getcwd")
    assert done.stdout.startswith(b"catalogdb: error: the working directory can't be used")


def test_completion_is_written(home: Path) -> None:
    done = subprocess.run(
        PROGRAM, env={**os.environ, "_CATALOGDB_COMPLETE": "bash_source"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "_catalogdb_completion" in done.stdout
