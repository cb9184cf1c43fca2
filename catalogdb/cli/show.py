"""``catalogdb show``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.columns import MAPPINGS, format_option
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.render import to_json, write_line, write_rows
from catalogdb.records import Checkpoint

HEADERS = ("field", "value", "tier", "source", "key", "scope")


@click.command(cls=Command, name="show", short_help="Show one checkpoint, and where each value comes from.")
@click.argument("ref", metavar="REF")
@format_option("table", ("table", "json", "jsonl", "csv", "tsv", "md"))
@pass_globals
def command(given: Globals, ref: str, style: str) -> None:
    """Show all that is known about one checkpoint: each value with the tier, the file and the key that it comes from.

    REF is a path, an id, or @ALIAS. The scope says whether a value belongs to this file at its step (checkpoint)
    or is only known for the run as a whole (run). Exits with 1 when there is no such checkpoint.

    \b
    Examples:
      catalogdb show "$(catalogdb best -m val/hmean)"
      catalogdb show 1 --format json
    """
    with open_existing(given.settings()) as catalog:
        row = catalog.get(ref)
    if style in {"json", "jsonl"}:
        write_line(to_json(row.to_dict(), indent=2 if style == "json" else None))
    else:
        write_rows(HEADERS, _lines(row), style)


def _lines(row: Checkpoint) -> Iterator[tuple[object, ...]]:
    """Each known value with its origin, in the record's own order."""

    def line(name: str, value: Any) -> tuple[object, ...]:
        origin = row.provenance.get(name, {})
        return (name, value, *(origin.get(key) for key in HEADERS[2:]))

    for name, value in row.to_dict().items():
        if name == "provenance" or value is None or value in ([], {}):
            continue
        if name in MAPPINGS and isinstance(value, Mapping):
            yield from (line(f"{name}.{key}", item) for key, item in value.items())
        elif isinstance(value, list):
            yield from (line(name, item) for item in value)
        else:
            yield line(name, value)
