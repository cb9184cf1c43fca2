"""``catalogdb diff``."""

from __future__ import annotations

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.completion import refs
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.output_options import format_option
from catalogdb.cli.render import visible, write_rows

HEADERS = ("kind", "name", "first", "second")


@click.command(cls=Command, name="diff", short_help="Show what two checkpoints don't have in common.")
@click.argument("first", metavar="REF", shell_complete=refs)
@click.argument("second", metavar="REF", shell_complete=refs)
@click.option("--deep", is_flag=True, help="Read all of both files where they keep no checksums.")
@format_option("table", ("table", "json", "jsonl", "csv", "tsv", "md"))
@pass_globals
def command(given: Globals, first: str, second: str, deep: bool, style: str) -> None:
    """Show what two checkpoints don't have in common: fields, metrics, params, and their tensors.

    REF is a path, an id, or @ALIAS. A tensor is shown with its dtype, its shape and the CRC-32 of its bytes; names are
    compared without what wraps all of them (module.). What one of the two hasn't got is left empty. A file that keeps
    no checksums (safetensors) shares names and shapes only, unless --deep reads it.

    \b
    Examples:
      catalogdb diff 1 2
      catalogdb diff "$(catalogdb best -m val/hmean)" "$(catalogdb best -m val/loss)" --format json
    """
    with open_existing(given.settings()) as catalog:
        compared = catalog.diff(first, second, deep=deep)
    write_rows(HEADERS, [(each.kind, each.name, each.first, each.second) for each in compared.differences], style)
    for line in compared.unread:
        given.say(visible(f"{line}; weights aren't compared"))
    if compared.unread:
        return
    other = sum(each.kind == "tensor" for each in compared.differences)
    given.say(f"{other} of {compared.tensors} tensors differ")
    if compared.unknown:
        given.say(
            f"{compared.unknown} tensors have the same shape; whether they have the same content, --deep can tell"
        )
