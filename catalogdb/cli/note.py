"""``catalogdb note``."""

from __future__ import annotations

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.completion import refs
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.render import write_line
from catalogdb.errors import NotFound


@click.command(cls=Command, name="note", short_help="Write a note to a checkpoint.")
@click.argument("ref", metavar="REF", shell_complete=refs)
@click.argument("text", metavar="[TEXT]", required=False)
@pass_globals
def command(given: Globals, ref: str, text: str | None) -> None:
    """Write a note to a checkpoint, in place of the one it has. An empty TEXT takes it away; without TEXT, print it.

    REF is a path, an id, or @ALIAS. A note stays with the checkpoint when its file moves, and filters
    know it: "note ILIKE '%paper%'". Exits with 1 when there is no note to print.

    \b
    Examples:
      catalogdb note outputs/run_042/checkpoints/model.ckpt "the one in the paper, table 2"
      catalogdb note @production
    """
    with open_existing(given.settings()) as catalog:
        if text is not None:
            catalog.note(ref, text)
            return
        row = catalog.get(ref)
    if row.note is None:
        raise NotFound(f"{row.path}: has no note")
    write_line(row.note)
