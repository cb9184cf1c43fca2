"""``catalogdb plot``: text in a pipe, colours on a terminal, files; what can't be drawn is one line."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from catalogdb.cli.drawing import MOST_LABELS, draw_file, draw_text
from catalogdb.records import Curve, Curves, Point
from tests.e2e.cli.harness import PROGRAM, Demo, Run, assert_one_line


def test_a_pipe_gets_plain_text(ask: Run) -> None:
    ended = ask("plot", "-m", "val/hmean")
    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert max(map(len, ended.lines)) == 100
    assert "  • run_042: ★ 0.768143 at global_step 70" in ended.lines
    assert [line for line in ended.lines if "★" in line and "│" in line]
    assert ended.err == ""


def test_what_is_not_drawn_is_counted(ask: Run) -> None:
    ended = ask("plot", "-m", "hmean")
    assert ended.code == 0
    assert ended.err.splitlines() == ["16 checkpoints aren't drawn: global_step unknown, or no hmean measured there"]


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_is_filled_and_coloured(demo: Demo, no_color: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "72", "LINES": "30"} | ({"NO_COLOR": "1"} if no_color else {})
    arguments = ["--db", str(demo.database), "plot", "-m", "val/loss", "--by", "architecture", "-x", "epoch", "-q"]
    process = subprocess.Popen([*PROGRAM, *arguments], stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # Linux's word for the end of a terminal
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert ("\x1b[" in text) is not no_color
    assert len(text.splitlines()) < 30
    assert "craft: ★" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) == 72 or not no_color


def test_a_png_and_an_svg(ask: Run, home: Path) -> None:
    assert ask("plot", "-m", "val/hmean", "-o", "a.png").out == ""
    assert (home / "a.png").read_bytes().startswith(b"\x89PNG")
    for name in ("a.svg", "b.SVG"):
        assert ask("plot", "-m", "val/hmean", "-o", name).code == 0
    assert ElementTree.parse(home / "a.svg").getroot().tag.endswith("svg")
    assert (home / "a.svg").read_bytes() == (home / "b.SVG").read_bytes()


def test_what_cannot_be_drawn_is_one_line(ask: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_one_line(ask("plot", "-m", "val/hmeen"), 2, "val/hmean")
    assert_one_line(ask("plot", "-m", "val/hmean", "-o", "a.pdf"), 2, "a.pdf", ".png or .svg")
    assert_one_line(ask("plot", "-m", "val/hmean", "-o", "no/a.png"), 3, "no/a.png")
    empty = ask("plot", "-m", "val/hmean", "-w", "epoch = 1000", "-o", "a.png")
    assert (empty.code, empty.out, empty.err) == (1, "", "catalogdb: nothing to draw\n")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert_one_line(ask("plot", "-m", "val/hmean", "-o", "a.png"), 2, "catalogdb[plot]")
    assert list(home.iterdir()) == []


def curve(name: str | None, *points: tuple[int, float]) -> Curve:
    drawn = tuple(Point(x, value, "/a") for x, value in points)
    return Curve(name, name, drawn, max(drawn, key=lambda point: point.value))


@pytest.mark.parametrize(
    "curves",
    [
        [curve(None, (0, 0.5))],
        [curve("flat", (0, 1.0), (10, 1.0))],
        [curve("one step, two values", (5, 0.1), (5, 0.9))],
        [curve("large", (0, 1e300), (10**12, -1e300))],
        [curve("_hidden $x^", (1, 0.1), (2, 0.2)), curve("x\x1b[31m\ny" * 99, (1, 0.3))],
        [curve(f"run {place}", (place, place / 7), (place * 100, place / 9)) for place in range(40)],
    ],
    ids=["point", "flat", "upright", "large", "names", "many"],
)
def test_odd_curves_are_drawn(curves: list[Curve], tmp_path: Path) -> None:
    found = Curves("m_$x^", "max", "global_step", tuple(curves), 0)
    text = draw_text(found, None)
    assert "\x1b" not in text
    assert "★" in text.split("global_step")[0]
    named = min(len(curves), MOST_LABELS)
    assert len([line for line in text.splitlines() if line.startswith("  ") and ": ★ " in line]) == named
    assert (f"and {len(curves) - named} more" in text) == (named < len(curves))
    for name in ("a.png", "a.svg"):
        draw_file(found, None, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
