"""``catalogdb alias``."""

from __future__ import annotations

import click

import catalogdb
from catalogdb.cli.access import open_existing
from catalogdb.cli.completion import refs
from catalogdb.cli.options import Globals, pass_globals
from catalogdb.cli.render import visible, write_line
from catalogdb.cli.tag import ChangesCommand
from catalogdb.errors import NotFound


@click.command(cls=ChangesCommand, name="alias", short_help="Give a checkpoint a name of its own.")
@click.argument("ref", metavar="REF", shell_complete=refs)
@click.argument("name", metavar="[NAME|-NAME]", required=False)
@pass_globals
def command(given: Globals, ref: str, name: str | None) -> None:
    """Have @NAME mean this checkpoint, everywhere a REF is taken: catalogdb show @NAME. -NAME takes the alias away;
    without a NAME, print those that the checkpoint has.

    REF is a path, an id, or @ALIAS. An alias names one checkpoint: given to another one, it leaves the one it named,
    which is said on stderr. It stays with the checkpoint when its file moves.

    \b
    Examples:
      catalogdb alias outputs/run_042/checkpoints/model.ckpt production
      catalogdb alias "$(catalogdb best -m val/hmean)" champion
    """
    with open_existing(given.settings()) as catalog:
        row = catalog.get(ref)
        if name is None:
            for alias in row.aliases:
                write_line(f"@{alias}")
        elif name.startswith("-"):
            alias = name[1:].removeprefix("@")
            if alias not in row.aliases:
                raise NotFound(f"@{alias}: isn't an alias of {row.path}")
            catalog.remove_alias(alias)
        else:
            before = _holder(catalog, name)
            catalog.alias(row.id, name)
            if before is not None and before != row.path:
                given.say(visible(f"@{name.removeprefix('@')} was {before}"))


def _holder(catalog: catalogdb.Catalog, name: str) -> str | None:
    """The path of the checkpoint that has the alias now."""
    try:
        return catalog.get(f"@{name.removeprefix('@')}").path
    except NotFound:
        return None
