"""``catalogdb ls``."""

from __future__ import annotations

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.columns import metrics_in, split_list, write_checkpoints
from catalogdb.cli.completion import fields
from catalogdb.cli.hints import filter_errors, quoted_columns, say_hints
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.output_options import columns_option, format_option, unique_option
from catalogdb.settings import working_directory

SCREENFUL = 50


@click.command(cls=Command, name="ls", short_help="List checkpoints.")
@click.argument("where", metavar="[FILTER]", default="")
@click.option(
    "-S",
    "--sort",
    "orders",
    multiple=True,
    metavar="ORDER",
    shell_complete=fields,
    help="Such as -epoch, or 'epoch DESC'.",
)
@click.option(
    "-n",
    "limit",
    metavar="N",
    type=click.IntRange(min=0),
    help=f"At most so many; 0 is all.  [default: {SCREENFUL} in a table, else all]",
)
@unique_option
@format_option("table")
@columns_option
@pass_globals
def command(
    given: Globals,
    where: str,
    orders: tuple[str, ...],
    limit: int | None,
    unique: bool,
    style: str,
    columns: str | None,
) -> None:
    """List the checkpoints that a filter matches, or all; those that are no longer on disk only when it names state.

    A table holds the first 50 and says on stderr when there are more; the other formats hold all, streamed.
    Without -c, JSON and JSON Lines are whole records, CSV has each field and metric. Exits with 1 when none matched.

    \b
    Examples:
      catalogdb ls "architecture = 'dbnet' AND epoch >= 1" -S "metrics.val/hmean DESC"
      catalogdb ls -n 0 --format csv -c path,epoch,metrics.val/hmean
    """
    if limit is None:
        limit = SCREENFUL if style == "table" else 0
    ordering = [order for text in orders for order in split_list(text)]
    with open_existing(given.settings()) as catalog, filter_errors(where):
        rows = catalog.iter_search(where, order_by=ordering, max_results=limit or None, unique=unique)
        asked = [name for name in metrics_in(where, *ordering) if name in catalog.metric_names()]
        shown = write_checkpoints(
            rows,
            style,
            columns=columns,
            metrics=asked,
            metric_names=catalog.metric_names,
            cwd=working_directory(),
        )
        total = catalog.count(where, unique=unique) if limit and shown == limit else shown
        say_hints(given, catalog, "" if shown else where, names=[*ordering, *quoted_columns(columns)])
    if total > shown:
        given.say(f"{shown} of {total}; -n 0 shows all")
    if not shown:
        given.say("catalogdb: nothing matched")
        click.get_current_context().exit(1)
