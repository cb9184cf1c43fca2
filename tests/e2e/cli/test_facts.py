"""``tag``, ``note``, ``alias``, ``db export-facts`` and ``db import-facts``, as they are typed."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.cli.harness import Demo, Ended, Run, assert_one_line


@pytest.fixture
def own(run: Run, demo: Demo, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on a copy of the demo's catalog."""
    shutil.copy(demo.database, home / "own.db")
    monkeypatch.setenv("CATALOGDB_URL", "own.db")
    return run


def test_tags_as_interface_has_them(own: Run) -> None:
    assert own("tag", "1", "+a", "+b", "+stage=prod") == Ended(0, "a\nb\nstage=prod\n", "")
    assert own("tag", "1", "-b", "+c", "-stage") == Ended(0, "a\nc\n", "")
    assert own("tag", "1") == Ended(0, "a\nc\n", "")
    assert json.loads(own("ls", "'c' IN tags", "--format", "json").out)[0]["tags"] == {"a": None, "c": None}


@pytest.mark.parametrize("tag", ["vetted", "quick", "best", "db", "d", "h", "bv", "1", "é", "v2"])
def test_a_tag_whose_name_looks_like_options(own: Run, tag: str) -> None:
    own("tag", "1", f"+{tag}")
    assert own("tag", "1", f"-{tag}") == Ended(0, "", "")
    assert own("tag", "1") == Ended(0, "", "")


def test_options_stand_anywhere(own: Run, demo: Demo, home: Path) -> None:
    shutil.copy(demo.database, home / "other.db")
    assert own("tag", "--db", "other.db", "1", "+a", "-b").out == "a\n"
    assert own("tag", "1", "+b", "--db", "other.db", "-v").out == "a\nb\n"
    assert own("tag", "1", "+c", "--db=other.db", "-q", "-a").out == "b\nc\n"
    assert own("tag", "1", "--db", "other.db", "--", "-v", "-b").out == "c\n"
    assert own("tag", "1").out == ""
    assert "REF" in own("tag", "1", "-x", "--help").out
    assert_one_line(own("tag", "1", "--nope"), 2, "--nope")
    assert_one_line(own("tag", "1", "+a", "--db"), 2, "--db")
    assert_one_line(own("tag", "--db", "other.db"), 2, "REF")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["tag", "1", "good"], 2, ["write +good"]),
        (["tag", "1", "+a", "-stage=prod"], 2, ["write -stage"]),
        (["tag", "1", "+"], 2, ["can't be a tag's name"]),
        (["tag", "999", "+a"], 1, ["999", "no such checkpoint"]),
        (["tag", "@nope", "+a"], 1, ["@nope"]),
        (["note", "999", "x"], 1, ["999"]),
        (["note", "1"], 1, ["has no note"]),
        (["alias", "1", "a b"], 2, ["'a b' can't be an alias"]),
        (["alias", "1", "-nope"], 1, ["@nope: isn't an alias of"]),
        (["db", "import-facts", "nope.jsonl"], 3, ["nope.jsonl"]),
        (["db", "import-facts"], 2, ["FILE"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else str(value),
)
def test_errors(own: Run, arguments: list[str], code: int, words: list[str]) -> None:
    assert_one_line(own(*arguments), code, *words)


def test_a_note(own: Run) -> None:
    assert own("note", "1", "in the paper") == Ended(0, "", "")
    assert own("note", "1") == Ended(0, "in the paper\n", "")
    assert "in the paper" in own("show", "1").out
    assert own("note", "1", "") == Ended(0, "", "")
    assert own("note", "1").code == 1


def test_an_alias_is_a_ref_everywhere(own: Run) -> None:
    first, second = own("ls", "-n", "2", "-S", "id", "--format", "path").lines
    assert own("alias", first, "production") == Ended(0, "", "")
    assert json.loads(own("show", "@production", "--format", "json").out)["path"] == first
    assert own("tag", "@production", "+good").out == "good\n"
    assert own("note", "@production", "x").code == 0
    assert own("alias", "@production", "champion").code == 0
    assert own("alias", "@production") == Ended(0, "@champion\n@production\n", "")
    assert own("alias", second, "@production") == Ended(0, "", f"@production was {first}\n")
    assert own("alias", second, "production") == Ended(0, "", "")
    assert own("alias", "@production", "-production") == Ended(0, "", "")
    assert own("show", "@production").code == 1


def test_facts_are_carried_over(own: Run, run: Run, demo: Demo, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own("tag", "1", "+good", "+stage=prod")
    own("alias", "1", "production")
    own("note", "2", "zwei\nZeilen ü")
    exported = own("db", "export-facts")
    assert (exported.code, exported.err, len(exported.lines)) == (0, "", 2)
    record = json.loads(exported.lines[0])
    assert (record["tags"], record["aliases"]) == ({"good": None, "stage": "prod"}, ["production"])
    (home / "facts.jsonl").write_text(exported.out, encoding="utf-8")
    monkeypatch.setenv("CATALOGDB_URL", "rebuilt.db")
    assert run("scan", str(demo.outputs), "-q").code == 0
    done = Ended(0, "", "2 found by path, 0 by fingerprint, of 2\n")
    assert run("db", "import-facts", "facts.jsonl") == done
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"\n{exported.out}".encode())))
    assert run("db", "import-facts", "-") == done
    assert run("db", "export-facts") == exported
    (home / "facts.jsonl").write_text('{"path": "/gone.ckpt", "note": "x"}\n', encoding="utf-8")
    ended = run("db", "import-facts", "facts.jsonl")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("/gone.ckpt: no checkpoint has this path ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"path": "/x"}\n{"path": ', ["facts.jsonl:2: isn't JSON"]),
        (b"\xff\xfe", ["facts.jsonl:1"]),
        (b'{"path": "/x", "tags": 3}', ["facts.jsonl:1: tags: write an object"]),
        (b'{"path": "/x", "aliases": ["a b"]}', ["/x: 'a b' can't be an alias"]),
        (b"[" * 100_000, ["facts.jsonl:1"]),
    ],
)
def test_facts_that_cannot_be_read(own: Run, home: Path, content: bytes, words: list[str]) -> None:
    (home / "facts.jsonl").write_bytes(content)
    assert_one_line(own("db", "import-facts", "facts.jsonl"), 2, *words)


def test_no_facts(own: Run, home: Path) -> None:
    assert own("db", "export-facts") == Ended(0, "", "")
    (home / "facts.jsonl").write_bytes(b"")
    assert own("db", "import-facts", "facts.jsonl").code == 0


def test_a_ref_that_means_nothing_says_what_it_might_be(own: Run) -> None:
    own("alias", "1", "champion")
    assert_one_line(own("show", "@champ"), 1, "@champ", "has this alias")
    assert_one_line(own("show", "champion"), 1, "the alias is written @champion")
    assert_one_line(own("show", "outputs/a.ckpt"), 1, "outputs/a.ckpt", "scan the folder that holds it")
