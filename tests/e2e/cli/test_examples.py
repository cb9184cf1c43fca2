"""The examples in every command's help do what they say: each is run, on a fresh copy of the demo's outputs.

A new command needs nothing here but two examples in its docstring that end with 0. An example that needs something
first (a tag, a second checkpoint) has a line in FIRST; one that runs until it's interrupted stands in ENDLESS.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from catalogdb.demo import lay_out
from tests.e2e.cli.harness import PROGRAM, Run
from tools import reference

FIRST: dict[str, str] = {
    "catalogdb note @production": "catalogdb alias 1 production && catalogdb note 1 'in the paper'",
    "catalogdb db import-facts facts.jsonl": "catalogdb tag 1 +good && catalogdb db export-facts > facts.jsonl",
}
"""Example → the shell line that is run before it. Both run where ``outputs/`` and ``catalog.db`` are."""

ENDLESS: frozenset[str] = frozenset()
"""Examples that run until they're interrupted: they must still run after two seconds, and end with 0 or 130."""

EXAMPLES = [(path, line) for path, command in reference.commands() for line in reference.examples_of(command)]


@pytest.fixture
def world(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``outputs/``, scanned into ``catalog.db`` and ``runs.db``, and the program on the PATH."""
    lay_out(home)
    monkeypatch.setenv("CATALOGDB_URL", str(home / "catalog.db"))
    monkeypatch.setenv("CATALOGDB_OFFLINE", "1")
    assert run("scan", "outputs", "-q").code == 0
    shutil.copy(home / "catalog.db", home / "runs.db")
    programs = home / "bin"
    programs.mkdir()
    program = programs / "catalogdb"
    program.write_text(f'#!/bin/sh\nexec {PROGRAM[0]} -c "{PROGRAM[2]}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    return home


@pytest.mark.parametrize(("path", "command"), reference.commands(), ids=lambda value: str(value))
def test_two_examples(path: str, command: object) -> None:
    lines = [line for owner, line in EXAMPLES if owner == path]
    advice = f"the docstring of {path} ends with \\b, Examples: and two lines that begin with {path!r}"
    assert len(lines) == 2, advice
    for line in lines:
        assert f"{path} " in f"{line} " or path == "catalogdb", f"{line!r} is no example of {path}; {advice}"


def test_what_is_prepared_is_an_example() -> None:
    lines = {line for _, line in EXAMPLES}
    assert lines >= FIRST.keys() | ENDLESS, "FIRST or ENDLESS names a line that no help has"


@pytest.mark.parametrize("line", dict.fromkeys(line for _, line in EXAMPLES))
def test_an_example_runs(world: Path, run: Run, line: str) -> None:
    if line in FIRST:
        prepared = subprocess.run(["sh", "-c", FIRST[line]], capture_output=True, text=True, check=False, timeout=60)
        assert prepared.returncode == 0, f"{FIRST[line]!r}, which FIRST has before {line!r}: {prepared.stderr}"
    if line in ENDLESS:
        code, errors = interrupted(line)
    elif not wants_a_shell(line):
        ended = run(*shlex.split(line)[1:])
        code, errors = ended.code, ended.err
    else:
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)
        code, errors = done.returncode, done.stderr
    assert code == 0, f"{line!r} ended with {code}: {errors}"
    assert "Traceback" not in errors


def wants_a_shell(line: str) -> bool:
    """Whether it's more than words and quotes."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    return "$" in line or "*" in line or any(set(word) <= set("|&;<>()") for word in words)


def interrupted(line: str) -> tuple[int, str]:
    """Starts a command, interrupts it once it has run for two seconds; 0 where that ended it as it should."""
    process = subprocess.Popen(shlex.split(line), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, errors = process.communicate(timeout=2)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        return (0 if process.returncode in (0, 130) else process.returncode), errors
    return -1, f"it ended by itself, with {process.returncode}: {errors}"
