"""``catalogdb du``."""

from __future__ import annotations

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.completion import fields
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.output_options import format_option
from catalogdb.cli.render import Bytes, write_rows


@click.command(cls=Command, name="du", short_help="Show what the checkpoints take on disk.")
@click.option(
    "--per",
    default="state",
    show_default=True,
    metavar="FIELD",
    shell_complete=fields,
    help="exp_name, run, architecture, …",
)
@format_option("table", ("table", "json", "jsonl", "csv", "tsv", "md", "parquet"))
@pass_globals
def command(given: Globals, per: str, style: str) -> None:
    """Show what the checkpoints took on disk at the last scan, by the values of a field, the largest first.

    A file with several names, by hard or symbolic links, is counted once, for the name that is no link. twin_bytes is
    what would be free again if of files with the same weights the largest alone were kept: the others' weights are in
    that one, but not what else they may hold. Weights that aren't known (scan --full reads them) have no twins. A table
    ends with the total.

    \b
    Examples:
      catalogdb du
      catalogdb du --per exp_name --format csv
    """
    with open_existing(given.settings()) as catalog:
        found = catalog.disk_use(per)
    if not found:
        given.say("catalogdb: nothing matched")
        click.get_current_context().exit(1)
    rows = [(use.value, use.checkpoints, use.files, Bytes(use.size_bytes), Bytes(use.twin_bytes)) for use in found]
    if style in {"table", "md"}:
        sums = [sum(column) for column in list(zip(*rows, strict=True))[1:]]
        rows.append(("total", sums[0], sums[1], Bytes(sums[2]), Bytes(sums[3])))
    write_rows((per, "checkpoints", "files", "size_bytes", "twin_bytes"), rows, style)
