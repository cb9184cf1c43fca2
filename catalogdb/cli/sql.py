"""``catalogdb sql``."""

from __future__ import annotations

import math
import re

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.output_options import format_option
from catalogdb.cli.render import write_rows

_TOO_LONG = 21
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)?\.[0-9]+([eE][+-]?[0-9]+)?|-?(0|[1-9][0-9]*)[eE][+-][0-9]+")
"""The run id ``1e5`` and the tag ``007`` are neither."""


@click.command(cls=Command, name="sql", short_help="Ask the catalog in SQL, read-only.")
@click.argument("query")
@click.option(
    "-p", "--param", "parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A value for :NAME in the query."
)
@format_option("table")
@pass_globals
def command(given: Globals, query: str, parameters: tuple[tuple[str, str], ...], style: str) -> None:
    """Ask the catalog in SQL and print the rows. Nothing can be written, a minute is the longest that it may take, and
    the first 100,000 rows are printed.

    The views are the promise, the tables beneath them may change: checkpoint_overview, checkpoint_metrics,
    checkpoint_params, best_checkpoints, wandb_run_cache (docs/sql.md). A VALUE that reads as a number is
    one (0.10, 1e-4); 1e5 and 007 are texts.

    \b
    Examples:
      catalogdb sql "SELECT exp_name, monitor, value, path FROM best_checkpoints"
      catalogdb sql "SELECT path FROM checkpoint_overview WHERE epoch >= :least" -p least 1
    """
    with open_existing(given.settings()) as catalog:
        result = catalog.sql(query, {name.lstrip(":"): _typed(value) for name, value in parameters})
        write_rows(result.columns, result.rows, style)
    if result.cut:
        given.say(f"these are the first {result.limit} rows, there are more: ask for less with WHERE, LIMIT and OFFSET")


def _typed(value: str) -> str | int | float:
    """A number where it can be nothing else; one that SQLite can't hold stays a text, as in ``checkpoint_params``."""
    if _WHOLE.fullmatch(value):
        return int(value) if len(value) < _TOO_LONG and -(2**63) <= int(value) < 2**63 else value
    return float(value) if _FLOAT.fullmatch(value) and math.isfinite(float(value)) else value
