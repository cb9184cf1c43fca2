"""``catalogdb plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.completion import fields, metrics, paths
from catalogdb.cli.drawing import draw_file, draw_text
from catalogdb.cli.hints import filter_errors, say_hints
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.render import write_line
from catalogdb.errors import UsageError

SUFFIXES = (".png", ".svg")


@click.command(cls=Command, name="plot", short_help="Draw a metric over the steps of training.")
@click.option(
    "-m", "--metric", required=True, metavar="METRIC", shell_complete=metrics, help="The metric, as training logged it."
)
@click.option(
    "--by",
    metavar="FIELD",
    shell_complete=fields,
    help="What has a colour of its own: exp_name, architecture, params.lr, …  [run]",
)
@click.option(
    "-x", type=click.Choice(["global_step", "epoch"]), default="global_step", show_default=True, help="Along x."
)
@click.option("--mode", type=click.Choice(["min", "max"]), help="Which way is better, if the catalog can't tell.")
@click.option("-w", "--where", default="", metavar="FILTER", help="Draw only these.")
@click.option(
    "-o", "output", metavar="FILE", shell_complete=paths, help="Write a .png or .svg file in place of drawing here."
)
@pass_globals
def command(
    given: Globals,
    metric: str,
    by: str | None,
    x: Literal["global_step", "epoch"],
    mode: str | None,
    where: str,
    output: str | None,
) -> None:
    """Draw a metric over the steps of training: a line for each run, and its best point marked.

    With --by, runs with the same value of that field share a colour, and the best of them all is marked.
    Checkpoints without the metric, without a step, or with a value that is only known of their run are left out; stderr
    says how many. Exits with 1 when there is nothing to draw. A file needs catalogdb[plot].

    \b
    Examples:
      catalogdb plot -m val/hmean
      catalogdb plot -m val/loss --by architecture -x epoch -o loss.png
    """
    if output is not None and Path(output).suffix.lower() not in SUFFIXES:
        raise UsageError(f"-o {output}: the name ends with {' or '.join(SUFFIXES)}")
    with open_existing(given.settings()) as catalog, filter_errors(where):
        found = catalog.curves(metric, by=by, x=x, where=where, mode=mode)
        say_hints(given, catalog, "" if found.curves else where, names=[by] if by else [])
    if found.curves and output is not None:
        draw_file(found, by, Path(output))
    elif found.curves:
        write_line(draw_text(found, by))
    if found.of_runs:
        given.say(f"{_not_drawn(found.of_runs)}: {metric} is known of their run as a whole, not of a step of it")
    if others := found.left_out - found.of_runs:
        given.say(f"{_not_drawn(others)}: {x} unknown, or no {metric} measured there")
    if not found.curves:
        given.say("catalogdb: nothing to draw")
        click.get_current_context().exit(1)


def _not_drawn(count: int) -> str:
    return "1 checkpoint isn't drawn" if count == 1 else f"{count} checkpoints aren't drawn"
