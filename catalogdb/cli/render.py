"""How data reaches stdout: tables, JSON, CSV and plain paths, streamed row by row."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from catalogdb.cli.parquet import write_parquet
from catalogdb.columnar import Kind
from catalogdb.errors import UsageError
from catalogdb.records import Weights

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = ("table", "json", "jsonl", "csv", "tsv", "md", "parquet", "path")
PATH_ENDS = {"path": "\n", "path0": "\0"}
"""``path0`` is what ``--print0`` asks for."""
LOOK_AHEAD = 1000
"""How many rows decide a table's widths: it need not be in memory as a whole."""

FOLDED = frozenset({"field", "path", "reason", "value"})
"""Columns that go over several lines of a narrow terminal rather than being cut."""

WHOLE = frozenset({"monitored"})
"""Columns that mean nothing when cut: the others give way."""

GAP = 2
NARROWEST_FOLDED, NARROWEST_CUT = 20, 10
"""Cells of a table's columns that can still be read. Where a terminal has fewer, its rows are stacked."""

Row = Sequence[object]


class Bytes(int):
    """A size, which a table on a terminal shows as 1.2 GB."""


def write(text: str) -> None:
    """Text to stdout as UTF-8, whatever the locale; a file name's undecodable bytes come out as they went in."""
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        content = text.encode("utf-8", "backslashreplace")
    sys.stdout.buffer.write(content)


def write_line(text: str) -> None:
    write(f"{text}\n")


def write_paths(paths: Iterable[str], style: str = "path") -> None:
    """Each path byte for byte as the disk has it, with a newline or a NUL after it."""
    end = PATH_ENDS[style]
    for path in paths:
        write(f"{path}{end}")


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NaN and infinity are None, bytes are hexadecimal digits."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Weights):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value


def to_json(value: Any, *, indent: int | None = None) -> str:
    text = json.dumps(plain(value), ensure_ascii=False, indent=indent)
    # A surrogate has no UTF-8: such a text is written with escapes, which every reader of JSON understands.
    return text if _encodable(text) else json.dumps(plain(value), indent=indent)


def write_records(records: Iterable[Mapping[str, Any]], *, lines: bool) -> None:
    """Records as a JSON array, or as JSON Lines."""
    if lines:
        for record in records:
            write_line(to_json(record))
        return
    opening = "[\n"
    for record in records:
        write(opening + to_json(record))
        opening = ",\n"
    write("[]\n" if opening == "[\n" else "\n]\n")


def write_rows(headers: Sequence[str], rows: Iterable[Row], style: str, kinds: Sequence[Kind] | None = None) -> None:
    """Rows in one of FORMATS. ``path`` needs a column of that name; ``kinds`` are the columns' types, for Parquet."""
    if style in {"json", "jsonl"}:
        names = _distinct(headers)
        write_records((dict(zip(names, row, strict=True)) for row in rows), lines=style == "jsonl")
    elif style in PATH_ENDS:
        if "path" not in headers:
            raise UsageError("--format path: there is no column named path")
        place = list(headers).index("path")
        write_paths((str(row[place]) for row in rows if row[place] is not None), style)
    elif style == "parquet":
        write_parquet(_distinct(headers), rows, kinds)
    else:
        writers: dict[str, Callable[[Sequence[str], Iterable[Row]], None]] = {
            "csv": _write_csv,
            "tsv": _write_tsv,
            "md": _write_markdown,
            "table": _write_table,
        }
        writers[style](headers, rows)


def _distinct(headers: Sequence[str]) -> list[str]:
    """SQL gives several columns of one name, JSON and Parquet can't: the others are ``a:1``, ``a:2``, as in SQLite."""
    names: list[str] = []
    for header in headers:
        name, number = header, 0
        while name in names:
            number += 1
            name = f"{header}:{number}"
        names.append(name)
    return names


def visible(text: str) -> str:
    """Text that does nothing to a terminal and stays in its line: what isn't printable is written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def cell(value: Any) -> str:
    """A value as one cell of text; null is empty."""
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else to_json(value) if isinstance(value, (dict, list)) else repr(value)


def on_terminal() -> bool:
    return sys.stdout.isatty()


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _write_csv(headers: Sequence[str], rows: Iterable[Row], delimiter: str = ",") -> None:
    for row in chain([headers], rows):
        line = io.StringIO()
        csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow([cell(value) for value in row])
        write(line.getvalue())


def _write_tsv(headers: Sequence[str], rows: Iterable[Row]) -> None:
    _write_csv(headers, rows, delimiter="\t")


def _write_markdown(headers: Sequence[str], rows: Iterable[Row]) -> None:
    def line(values: Iterable[object]) -> str:
        cells = (cell(value).replace("\\", "\\\\").replace("|", "\\|") for value in values)
        return f"| {' | '.join(visible(text) for text in cells)} |"

    write_line(line(headers))
    write_line(f"| {' | '.join('---' for _ in headers)} |")
    for row in rows:
        write_line(line(row))


def _write_table(headers: Sequence[str], rows: Iterable[Row]) -> None:
    """Fits a terminal; elsewhere, or when long, full values in columns as wide as the first rows need them."""
    iterator = iter(rows)
    first = list(islice(iterator, LOOK_AHEAD))
    following = next(iterator, None)
    if following is None and not first:
        return
    if following is None and on_terminal():
        _draw_table(headers, first)
    else:
        _write_aligned(headers, first, iterator if following is None else chain([following], iterator))


def _numeric(rows: Sequence[Row], place: int) -> bool:
    kinds = {type(row[place]) for row in rows} - {type(None)}
    return bool(kinds) and kinds <= {int, float, Bytes}


def _write_aligned(headers: Sequence[str], first: Sequence[Row], rest: Iterator[Row]) -> None:
    texts = [[visible(cell(value)) for value in row] for row in first]
    widths = [max([len(header), *(len(row[place]) for row in texts)]) for place, header in enumerate(headers)]
    numeric = [_numeric(first, place) for place in range(len(headers))]

    def line(values: Sequence[str]) -> str:
        padded = (
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        )
        return "  ".join(padded).rstrip()

    write_line(line([visible(header) for header in headers]))
    for row in chain(texts, ([visible(cell(value)) for value in row] for row in rest)):
        write_line(line(row))


def readable_size(size: int) -> str:
    """In the units that disks are sold in: 1 kB is 1000 bytes."""
    if size < 1000:
        return f"{size} B"
    power = next((power for power in range(1, 6) if size < 999.5 * 1000**power), 6)
    return f"{size / 1000**power:.3g} {'kMGTPE'[power - 1]}B"


def _short(value: object) -> str:
    if isinstance(value, Bytes):
        return readable_size(value)
    return f"{value:.6g}" if isinstance(value, float) else visible(cell(value))


def _fit(widths: list[int], shrinking: Mapping[int, int], least: Sequence[int], room: int) -> bool:
    """Takes from the widest until the columns have room; one of weight 3 counts as a third of its width.

    False where they would get too narrow to be read.
    """
    while sum(widths) > room:
        wide = [place for place in shrinking if widths[place] > least[place]]
        if not wide:
            return False
        widths[max(wide, key=lambda place: widths[place] / shrinking[place])] -= 1
    return True


def _draw_table(headers: Sequence[str], rows: Sequence[Row]) -> None:
    from rich.cells import cell_len  # noqa: PLC0415 - 40 ms that only a terminal needs
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(file=sys.stdout, highlight=False, no_color=bool(os.environ.get("NO_COLOR")) or None)
    texts = [[_short(value) for value in row] for row in rows]
    numeric = [_numeric(rows, place) for place in range(len(headers))]
    widths = [max([cell_len(header), *(cell_len(row[place]) for row in texts)]) for place, header in enumerate(headers)]
    shrinking = {
        place: 3 if header in FOLDED else 1
        for place, header in enumerate(headers)
        if not numeric[place] and header not in WHOLE
    }
    least = [
        min(width, NARROWEST_FOLDED if header in FOLDED else NARROWEST_CUT)
        for header, width in zip(headers, widths, strict=True)
    ]
    if not _fit(widths, shrinking, least, console.width - GAP * (len(headers) - 1)):
        _draw_stacked(console, headers, texts)
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for header, width, right in zip(headers, widths, numeric, strict=True):
        table.add_column(
            Text(visible(header)),
            width=width,
            justify="right" if right else "left",
            no_wrap=header not in FOLDED,
            overflow="fold" if header in FOLDED else "ellipsis",
        )
    for row in texts:
        table.add_row(*(Text(text) for text in row))
    console.print(table)


def _draw_stacked(console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A row's first cell, with its value where that is the second; then, indented, the rest of it with their names."""
    from rich.text import Text  # noqa: PLC0415 - as in _draw_table

    leading = 2 if "value" in headers[1:2] else 1
    for row in rows:
        first = [Text(line) for line in _lines(["  ".join(row[:leading])], console.width)]
        named = zip(headers[leading:], row[leading:], strict=True)
        rest = [f"{visible(header)} {text}" for header, text in named if text]
        first += [Text(" " * GAP + line, style="dim") for line in _lines(rest, console.width - GAP)]
        for line in first:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)


def _lines(pieces: Iterable[str], width: int) -> list[str]:
    """Pieces beside one another as far as they fit; one that doesn't fit into a line of its own goes over several."""
    from rich.cells import cell_len, chop_cells  # noqa: PLC0415 - as in _draw_table

    lines: list[str] = []
    for piece in pieces:
        if lines and cell_len(lines[-1]) + GAP + cell_len(piece) <= width:
            lines[-1] += " " * GAP + piece
        else:
            lines.extend(chop_cells(piece, width))
    return lines
