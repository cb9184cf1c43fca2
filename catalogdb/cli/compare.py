"""``catalogdb compare``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.completion import refs
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.output_options import format_option
from catalogdb.cli.render import write_rows
from catalogdb.errors import UsageError


@click.command(cls=Command, name="compare", short_help="Show what isn't the same for several checkpoints.")
@click.argument("named", metavar="REF REF...", nargs=-1, required=True, shell_complete=refs)
@format_option("table", ("table", "json", "jsonl", "csv", "tsv", "md", "parquet"))
@pass_globals
def command(given: Globals, named: tuple[str, ...], style: str) -> None:
    """Show what isn't the same for several checkpoints: fields, metrics and params, with a column for each checkpoint.

    REF is a path, an id, or @ALIAS. What one of them hasn't got is left empty. It is what the catalog knows: no file is
    read, and two with the same fingerprint have the same weights. The tensors of two files are compared by diff.

    A table has the columns' paths without the folder that they have in common; the other formats have whole paths.

    \b
    Examples:
      catalogdb compare 1 2 3
      catalogdb best -m val/hmean --per exp_name --print0 | xargs -0 catalogdb compare --format csv
    """
    with open_existing(given.settings()) as catalog:
        paths = [catalog.get(ref).path for ref in named]
        if len(set(paths)) < max(2, len(paths)):
            raise UsageError("compare: name two checkpoints or more, each once")
        found = catalog.compare(*named)
    headers = _without_common_folder(paths) if style == "table" else paths
    write_rows(("kind", "name", *headers), [(each.kind, each.name, *each.values) for each in found], style)
    if not found:
        given.say("the catalog knows nothing that differs")


def _without_common_folder(paths: Sequence[str]) -> list[str]:
    folder = os.path.commonpath([Path(path).parent for path in paths])
    return [str(Path(path).relative_to(folder)) for path in paths]
