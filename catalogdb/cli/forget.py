"""``catalogdb forget``."""

from __future__ import annotations

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.completion import roots
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.render import write_line


@click.command(cls=Command, name="forget", short_help="Drop a root and its rows from the catalog.")
@click.argument("root", metavar="ROOT", shell_complete=roots)
@click.option("--force", is_flag=True, help="Forget tags, notes and aliases as well.")
@pass_globals
def command(given: Globals, root: str, force: bool) -> None:
    """Drop a ROOT and all its rows from the catalog: a folder that was scanned by mistake, or is gone for good. No file
    is touched, and a scan brings the rows back. `catalogdb status` lists the roots.

    Where checkpoints have tags, notes or aliases nothing is dropped without --force; `catalogdb db export-facts` keeps
    them. A root that is watched has to be let go by its watcher first.

    \b
    Examples:
      catalogdb forget outputs/
      catalogdb forget outputs/ --force
    """
    with open_existing(given.settings()) as catalog:
        rows = catalog.forget(root, force=force)
    write_line("1 row forgotten" if rows == 1 else f"{rows} rows forgotten")
