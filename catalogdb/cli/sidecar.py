"""``catalogdb sidecar``: made of what the catalog knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.columns import format_option
from catalogdb.cli.options import Globals, Group, pass_globals
from catalogdb.cli.render import write_rows
from catalogdb.errors import CatalogError

STYLES = ("table", "json", "jsonl", "csv", "tsv", "md", "path")


@click.group(cls=Group, name="sidecar", short_help="Make sidecars of what is known; check those that are there.")
def command() -> None:
    """Make sidecars (X.metadata.yaml beside X.ckpt) of what the catalog knows.

    \b
    Examples:
      catalogdb sidecar write "exp_name = 'craft-resnet18'"
      catalogdb sidecar write --yes
    """


@command.command("write", short_help="Write sidecars for checkpoints that have none.")
@click.argument("where", metavar="[FILTER]", default="")
@click.option("-y", "--yes", is_flag=True, help="Write them. Without it, what would be written is listed.")
@click.option("--force", is_flag=True, help="Replace sidecars that are there already.")
@format_option("table", STYLES)
@pass_globals
def write(given: Globals, where: str, yes: bool, force: bool, style: str) -> None:
    """Write sidecars for the checkpoints that a filter matches, or for all, that have none; without --yes list them.

    A sidecar states what is known of that file at its step, wherever the catalog has it from, and nothing that is only
    known of its run. The next scan, in this catalog or in one from nothing, reads it and needs no more. What the format
    requires and nobody knows is marked as unknown in it, and stays null in the catalog. A file that has changed since
    the last scan gets none.

    \b
    Examples:
      catalogdb sidecar write "epoch >= 5"
      catalogdb sidecar write --yes
    """
    done: Counter[str] = Counter()
    with open_existing(given.settings()) as catalog:

        def rows() -> Iterator[tuple[str, str, str, str | None]]:
            for each in catalog.write_sidecars(where, dry_run=not yes, force=force):
                done[each.action] += 1
                if each.action != "kept":
                    yield each.path, each.action, ", ".join(each.values), each.reason

        write_rows(("path", "action", "values", "reason"), rows(), style)
    counts = [f"{done[action]} {word}" for action, word in COUNTED.items() if done[action]]
    given.say(", ".join(counts) + ("; --yes writes them" if done["write"] or done["replace"] else ""))
    if done["failed"]:
        raise CatalogError(f"{done['failed']} could not be written; the others are")


COUNTED = {
    "write": "to write",
    "replace": "to replace",
    "written": "written",
    "replaced": "replaced",
    "kept": "have one already",
    "skipped": "skipped",
    "failed": "failed",
}
