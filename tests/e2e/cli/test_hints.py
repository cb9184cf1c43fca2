"""What is said where nothing matched: misspelt params, relative paths, and paths in place of a filter."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.cli.harness import Demo, Run

NO_PARAM = "no checkpoint has the param optimizer.lrr; did you mean optimizer.lr"


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "params.optimizer.lrr = 0.5"],
        ["ls", "epoch >= 0 AND NOT params.`optimizer.lrr` > 0.5"],
        ["best", "-m", "val/hmean", "-w", "params.optimizer.lrr IN (0.5, 1)"],
        ["best", "-m", "val/hmean", "--per", "params.optimizer.lrr"],
        ["plot", "-m", "val/hmean", "-w", "params.optimizer.lrr = 0.5"],
    ],
    ids=" ".join,
)
def test_a_param_that_no_checkpoint_has_is_no_error_and_is_said(ask: Run, arguments: list[str]) -> None:
    ended = ask(*arguments)
    assert (ended.code, ended.out) == (1, "")
    assert len([line for line in ended.err.splitlines() if line.startswith(NO_PARAM)]) == 1
    assert ask(*arguments, "-q").err == ""


@pytest.mark.parametrize("options", [["-c", "path,params.optimizer.lrr"], ["-S", "-params.optimizer.lrr"]])
def test_an_empty_column_and_an_ordering_by_nothing(ask: Run, options: list[str]) -> None:
    ended = ask("ls", *options)
    assert ended.code == 0
    assert ended.err.startswith(NO_PARAM)
    assert "no checkpoint" not in ask("ls", *[option.replace("lrr", "lr") for option in options]).err


def test_a_param_that_is_known_is_not_spoken_of(ask: Run) -> None:
    ended = ask("ls", "params.optimizer.lr = 12345")
    assert (ended.code, ended.err) == (1, "catalogdb: nothing matched\n")
    assert ask("ls", "params.optimizer.lrr IS NULL").err == ""


@pytest.mark.parametrize(
    ("condition", "written"),
    [
        ("path = 'outputs/x.pt'", "path LIKE '%/outputs/x.pt'"),
        ("path IN ('./x.pt')", "path LIKE '%/x.pt'"),
        ("root LIKE 'out%'", "root LIKE '%/out%'"),
    ],
)
def test_a_path_that_is_not_absolute(ask: Run, condition: str, written: str) -> None:
    ended = ask("ls", condition)
    assert (ended.code, ended.out) == (1, "")
    said, nothing = ended.err.splitlines()
    assert said.endswith(f"isn't: write {written}")
    assert nothing == "catalogdb: nothing matched"
    assert "absolute" not in ask("ls", "path LIKE '%nothing like it'").err


def test_a_path_in_place_of_a_filter(ask: Run, demo: Demo, home: Path) -> None:
    checkpoint = next(demo.outputs.rglob("*.ckpt"))
    (home / "here").symlink_to(checkpoint.parent)
    for path, condition in (
        ("here", f"path LIKE '{checkpoint.parent.resolve()}/%'"),
        (str(checkpoint), f"path = '{checkpoint.resolve()}'"),
        ("outputs/x/", "path LIKE '%/outputs/x%'"),
    ):
        for arguments in (["ls", path], ["best", "-m", "val/hmean", "-w", path]):
            ended = ask(*arguments)
            assert (ended.code, ended.out) == (2, "")
            assert ended.err.splitlines()[0].endswith(f"; to ask for a path write {condition}")
    assert ask("ls", f"path LIKE '{checkpoint.parent.resolve()}/%'").code == 0
    assert "to ask for a path" not in ask("ls", "epoch > ").err


def test_a_file_whose_name_begins_as_an_alias_does(ask: Run, home: Path) -> None:
    assert "file of that name" not in ask("show", "@champion.pt").err
    (home / "@champion.pt").touch()
    ended = ask("show", "@champion.pt")
    assert ended.code == 1
    assert ended.err.endswith("; the file of that name is ./@champion.pt\n")
