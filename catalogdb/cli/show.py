"""``catalogdb show``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.columns import MAPPINGS
from catalogdb.cli.completion import refs
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.output_options import format_option
from catalogdb.cli.render import to_json, write_line, write_rows
from catalogdb.records import Checkpoint, CheckpointHeader

HEADERS = ("field", "value", "tier", "source", "key", "scope")
TENSOR_HEADERS = ("name", "dtype", "shape", "elements", "storage", "crc32")


@click.command(cls=Command, name="show", short_help="Show one checkpoint, and where each value comes from.")
@click.argument("ref", metavar="REF", shell_complete=refs)
@click.option("--tensors", is_flag=True, help="List the tensors of its weights, read from the file as it is now.")
@format_option("table", ("table", "json", "jsonl", "csv", "tsv", "md"))
@pass_globals
def command(given: Globals, ref: str, tensors: bool, style: str) -> None:
    """Show all that is known about one checkpoint: each value with the tier, the file and the key that it comes from.

    REF is a path, an id, or @ALIAS. The scope says whether a value belongs to this file at its step (checkpoint)
    or is only known for the run as a whole (run). Exits with 1 when there is no such checkpoint.

    --tensors lists each tensor instead, with the storage in the file that holds it and the CRC-32 that the file keeps
    of that: tied weights share one. Sums, and what wraps every name, go to stderr.

    \b
    Examples:
      catalogdb show "$(catalogdb best -m val/hmean)"
      catalogdb show 1 --tensors
    """
    with open_existing(given.settings()) as catalog:
        if tensors:
            _write_tensors(given, catalog.header(ref), style)
            return
        row = catalog.get(ref)
    if style in {"json", "jsonl"}:
        write_line(to_json(row.to_dict(), indent=2 if style == "json" else None))
    else:
        write_rows(HEADERS, _lines(row), style)


def _write_tensors(given: Globals, header: CheckpointHeader, style: str) -> None:
    """JSON has the shape as a list; the other formats as text."""
    whole = style in {"json", "jsonl"}
    rows = [
        (
            tensor.name,
            tensor.dtype,
            [*tensor.shape] if whole else "x".join(map(str, tensor.shape)),
            math.prod(tensor.shape),
            storage,
            f"{checksum:08x}" if checksum is not None else None,
        )
        for tensor, storage, checksum in zip_longest(header.tensors, header.storages, header.checksums)
    ]
    write_rows(TENSOR_HEADERS, rows, style)
    if header.reason:
        given.say(f"{header.state}: {header.reason}")
    framework = " ".join(filter(None, (header.framework, header.framework_version)))
    said = [", ".join(filter(None, (header.format, framework)))]
    if header.weights is not None:
        said.append(f"{header.weights.num_tensors} tensors, {header.weights.num_parameters} parameters")
    if header.weights_bytes is not None and header.storage_bytes is not None:
        rest = header.storage_bytes - header.weights_bytes
        said.append(f"{header.weights_bytes} bytes of weights, {rest} of other tensors")
    if header.weights_prefix:
        said.append(f"all below {header.weights_prefix}")
    if line := "; ".join(filter(None, said)):
        given.say(line)


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
