"""``catalogdb demo``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import click

import catalogdb
from catalogdb.cli.columns import write_checkpoints
from catalogdb.cli.completion import paths
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.render import write_line
from catalogdb.cli.scan import run_scan, tell
from catalogdb.demo import lay_out
from catalogdb.settings import normalise_url, working_directory

METRIC = "val/hmean"


@click.command(cls=Command, name="demo", short_help="Lay out a small outputs tree to try everything on.")
@click.argument("directory", metavar="DIR", shell_complete=paths)
@pass_globals
def command(given: Globals, directory: str) -> None:
    """Lay out a small outputs tree in DIR, as a real training run left it, scan it into DIR/catalog.db, and print the
    best checkpoint, a table of all, and the commands to try next. Needs neither torch nor a network.

    \b
    Examples:
      catalogdb demo try-catalogdb
      catalogdb demo examples -q
    """
    settings = given.settings(offline=True)
    outputs = lay_out(Path(directory))
    if given.db is None:
        url = normalise_url(Path(directory) / "catalog.db", base=working_directory())
        settings = replace(settings, url=url)
    report = run_scan(given, settings, str(outputs))
    tell(given, report)
    with catalogdb.Catalog.open(settings=settings) as catalog:
        best = catalog.rank(METRIC).checkpoints
        write_checkpoints(
            catalog.search("", order_by=[f"metrics.`{METRIC}` DESC"]),
            "table",
            columns=None,
            metrics=[METRIC],
            metric_names=catalog.metric_names,
            cwd=working_directory(),
        )
    write_line("")
    write_line(report.summary())
    if best:
        write_line(f"Best {METRIC}: {best[0].metrics[METRIC]:.6g} in {best[0].path}")
    write_line("")
    write_line("Try next:")
    database = shlex.quote(given.db or str(Path(directory) / "catalog.db"))
    for example in (
        f"best -m {METRIC}",
        "best -m val/loss --mode min --per exp_name --format table",
        'ls "epoch >= 1" -S -epoch',
        f'show "$(catalogdb --db {database} best -m {METRIC})"',
        'sql "SELECT * FROM best_checkpoints"',
        "status",
    ):
        write_line(f"  catalogdb --db {database} {example}")
