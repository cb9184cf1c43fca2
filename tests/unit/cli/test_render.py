"""What reaches stdout: every format reads back as what went in."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence

import pytest

from catalogdb.cli import render
from catalogdb.cli.render import visible, write_records, write_rows
from catalogdb.errors import UsageError
from catalogdb.records import Weights

HEADERS = ("path", "name", "value")
ROWS: list[tuple[object, ...]] = [
    ("/a/last.ckpt", 'with "quotes", commas | pipes \\ and\ttabs', 0.1 + 0.2),
    ("/b/x y.pt", "two\nlines", 3),
    ("/c/ü🤖.pt", None, math.nan),
]

Read = Callable[[], str]


@pytest.fixture
def written(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., bytes]:
    def run(style: str, headers: Sequence[str] = HEADERS, rows: Sequence[Sequence[object]] = ROWS) -> bytes:
        write_rows(headers, iter(rows), style)
        sys.stdout.flush()
        return capfdbinary.readouterr().out

    return run


@pytest.mark.parametrize("style", ["json", "jsonl"])
def test_json_reads_back(written: Callable[..., bytes], style: str) -> None:
    text = written(style)
    records = json.loads(text) if style == "json" else [json.loads(line) for line in text.splitlines()]
    assert records == [
        {"path": "/a/last.ckpt", "name": ROWS[0][1], "value": 0.30000000000000004},
        {"path": "/b/x y.pt", "name": "two\nlines", "value": 3},
        {"path": "/c/ü🤖.pt", "name": None, "value": None},
    ]


@pytest.mark.parametrize(("style", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_csv_reads_back(written: Callable[..., bytes], style: str, delimiter: str) -> None:
    rows = list(csv.reader(io.StringIO(written(style).decode(), newline=""), delimiter=delimiter))
    assert rows == [
        list(HEADERS),
        ["/a/last.ckpt", ROWS[0][1], "0.30000000000000004"],
        ["/b/x y.pt", "two\nlines", "3"],
        ["/c/ü🤖.pt", "", ""],
    ]


def test_markdown(written: Callable[..., bytes]) -> None:
    lines = written("md").decode().splitlines()
    assert lines[:2] == ["| path | name | value |", "| --- | --- | --- |"]
    assert lines[2].count("|") == 5
    assert r"commas \| pipes \\ and\ttabs" in lines[2]
    assert r"two\nlines" in lines[3]
    assert len(lines) == 5


def test_a_piped_table_has_full_values_and_a_line_for_each_row(written: Callable[..., bytes]) -> None:
    lines = written("table").decode().splitlines()
    assert len(lines) == 4
    assert lines[0].split() == list(HEADERS)
    assert "0.30000000000000004" in lines[1]
    assert r"two\nlines" in lines[2]
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in "".join(lines)


def test_a_long_table_is_streamed(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    drawn = 0

    def rows() -> Iterator[tuple[int]]:
        nonlocal drawn
        for drawn in range(render.LOOK_AHEAD + 500):
            yield (drawn,)

    write_rows(["n"], rows(), "table")
    sys.stdout.flush()
    lines = capfdbinary.readouterr().out.decode().split()
    assert lines == ["n", *(str(number) for number in range(render.LOOK_AHEAD + 500))]


@pytest.mark.parametrize(
    ("style", "expected"), [("json", "[]\n"), ("jsonl", ""), ("csv", "path,name,value\n"), ("table", "")]
)
def test_nothing(written: Callable[..., bytes], style: str, expected: str) -> None:
    assert written(style, rows=[]).decode() == expected


def test_paths_are_the_bytes_on_disk(written: Callable[..., bytes]) -> None:
    assert written("path", rows=[(b"/a/\xff.pt".decode("utf-8", "surrogateescape"), 1, 2)]) == b"/a/\xff.pt\n"


def test_paths_need_a_path(written: Callable[..., bytes]) -> None:
    with pytest.raises(UsageError, match="no column named path"):
        written("path", headers=["a"], rows=[(1,)])


def test_json_of_undecodable_names_is_json(written: Callable[..., bytes]) -> None:
    name = b"/a/\xff.pt".decode("utf-8", "surrogateescape")
    text = written("json", headers=["path"], rows=[(name,)]).decode("ascii")
    assert json.loads(text) == [{"path": name}]


def test_a_lone_surrogate_stops_nothing(written: Callable[..., bytes]) -> None:
    assert written("csv", headers=["x"], rows=[("\ud800",)]) == b"x\n\\ud800\n"


def test_nested_values_are_json_in_a_cell(written: Callable[..., bytes]) -> None:
    weights = Weights(num_parameters=3, num_tensors=1, dtypes={"float32": 3})
    text = written("csv", headers=["a", "b", "c", "d"], rows=[(weights, ("x", "y"), True, b"\x01")]).decode()
    row = list(csv.reader(io.StringIO(text)))[1]
    assert json.loads(row[0])["dtypes"] == {"float32": 3}
    assert json.loads(row[1]) == ["x", "y"]
    assert row[2:] == ["true", "01"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain ü🤖", "plain ü🤖"), ("\x1b[31mred", r"\x1b[31mred"), ("a\nb", r"a\nb"), ("\udcff", r"\udcff"), ("", "")],
)
def test_nothing_in_a_name_reaches_the_terminal(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_499, "999 kB"), (999_500, "1 MB"), (1_234_567, "1.23 MB"),
     (52 * 10**11, "5.2 TB"), (3 * 10**18, "3 EB")],
)  # fmt: skip
def test_a_size_is_readable(size: int, shown: str) -> None:
    assert render.readable_size(size) == shown


def test_a_piped_size_is_whole(written: Callable[..., bytes]) -> None:
    assert written("table", headers=["size"], rows=[(render.Bytes(1_234_567),)]).split() == [b"size", b"1234567"]


def test_records_stream(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_records(({"n": number} for number in range(3)), lines=False)
    sys.stdout.flush()
    assert json.loads(capfdbinary.readouterr().out) == [{"n": 0}, {"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("widths", "shrinking", "room", "fitted"),
    [
        ([10, 5], {0: 1}, 15, [10, 5]),
        ([10, 5], {0: 1}, 12, [7, 5]),
        ([60, 5, 20], {0: 3, 2: 1}, 65, [45, 5, 15]),
        ([60, 5, 20], {0: 3, 2: 1}, 13, [4, 5, 4]),
        ([60, 5, 20], {0: 3, 2: 1}, 12, None),
        ([60], {}, 10, None),
    ],
)
def test_columns_give_way_by_weight(
    widths: list[int], shrinking: dict[int, int], room: int, fitted: list[int] | None
) -> None:
    """As far as they can be read; None where they can't."""
    assert render._fit(widths, shrinking, [4] * len(widths), room) is (fitted is not None)
    assert fitted is None or widths == fitted


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([], []),
        (["ab", "cd"], ["ab  cd"]),
        (["abc", "def", "g"], ["abc", "def  g"]),
        (["abcdefgh", "i"], ["abcdef", "gh  i"]),
        (["日本語文"], ["日本語", "文"]),
    ],
)
def test_pieces_stand_beside_one_another_as_far_as_they_fit(pieces: list[str], lines: list[str]) -> None:
    assert render._lines(pieces, 6) == lines
