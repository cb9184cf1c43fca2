"""``catalogdb verify``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.output_options import format_option
from catalogdb.cli.render import write_rows

HEADERS = ("path", "kind", "reason")


@click.command(cls=Command, name="verify", short_help="Look for what is wrong with the checkpoints.")
@click.argument("where", metavar="[FILTER]", default="")
@click.option("--deep", is_flag=True, help="Read all of each file: check its checksums, compute those it doesn't keep.")
@format_option("table", ("table", "json", "jsonl", "csv", "tsv", "md", "path"))
@pass_globals
def command(given: Globals, where: str, deep: bool, style: str) -> None:
    """Look at the files of the checkpoints that a filter matches, or of all, and list what is wrong with them.

    \b
    missing      is no longer on disk
    truncated    ends too early, or lacks a part, and is left alone
    unreadable   can't be read, or isn't what its name says
    corrupt      its bytes have changed since they were written, or last verified (--deep)
    duplicate    has the weights of another one; links don't count
    sidecar      its sidecar is broken, or about another step or model
    claim        is called best or last, and another one in its folder is

    Without --deep a file takes a millisecond, whatever its size. Exits with 1 when anything is wrong, and when there is
    no such checkpoint.

    \b
    Examples:
      catalogdb verify "exp_name = 'craft-resnet18'"
      catalogdb verify "epoch = 5" --deep
    """
    found = 0
    with open_existing(given.settings()) as catalog:

        def rows() -> Iterator[tuple[str, str, str]]:
            nonlocal found
            for fault in catalog.verify(where, deep=deep):
                found += 1
                yield fault.path, fault.kind, fault.reason

        write_rows(HEADERS, rows(), style)
    if found:
        given.say(f"{found} {'fault' if found == 1 else 'faults'}")
        click.get_current_context().exit(1)
