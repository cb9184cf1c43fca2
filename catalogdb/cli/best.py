"""``catalogdb best``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import click

import catalogdb
from catalogdb.cli.access import open_existing
from catalogdb.cli.columns import write_checkpoints
from catalogdb.cli.completion import fields, metrics
from catalogdb.cli.hints import filter_errors, quoted_columns, say_hints
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.output_options import columns_option, format_option, unique_option
from catalogdb.cli.render import visible
from catalogdb.errors import NotFound
from catalogdb.query.fields import FIELDS
from catalogdb.records import Checkpoint, Ranking
from catalogdb.settings import working_directory

GONE = "is no longer there"
MOST_GONE = 500
"""Better checkpoints that may be gone before the search for one that is there ends: a disk is away, say."""


@click.command(cls=Command, name="best", short_help="Print the best checkpoint by a metric.")
@click.option(
    "-m", "--metric", required=True, metavar="METRIC", shell_complete=metrics, help="The metric, as training logged it."
)
@click.option("--mode", type=click.Choice(["min", "max"]), help="Which way is better, if the catalog can't tell.")
@click.option("-w", "--where", default="", metavar="FILTER", help="Look only among these.")
@click.option("--per", metavar="FIELD", shell_complete=fields, help="The best of each: exp_name, architecture, …")
@click.option(
    "-n",
    "limit",
    metavar="N",
    type=click.IntRange(min=0),
    help="How many; 0 is all.  [default: 1; all with --per]",
)
@unique_option
@format_option("path")
@columns_option
@pass_globals
def command(
    given: Globals,
    metric: str,
    mode: str | None,
    where: str,
    per: str | None,
    limit: int | None,
    unique: bool,
    style: str,
    columns: str | None,
) -> None:
    """Print the best checkpoint by a metric: by default its path alone, so that a shell can use it as a file name.

    The direction is --mode, or the one recorded with the metric, or the one its name is known for. A checkpoint
    without the metric never wins, nor one without the field of --per; how many were left out is said on stderr, and
    whether a value is only known of its run as a whole. Exits with 1 when none is left.

    \b
    Examples:
      catalogdb best -m val/hmean
      catalogdb best -m val/loss --mode min --per exp_name -w "epoch >= 1" --format table
    """
    wanted = (None if per else 1) if limit is None else limit or None
    with open_existing(given.settings()) as catalog, filter_errors(where):
        ranking, gone = _on_disk(catalog, metric, mode=mode, where=where, limit=wanted, per=per, unique=unique)
        for line in gone:
            given.say(visible(line))
        write_checkpoints(
            ranking.checkpoints,
            style,
            columns=columns,
            metrics=[metric],
            metric_names=catalog.metric_names,
            cwd=working_directory(),
        )
        elsewhere = _by_another_name(catalog, metric, where) if ranking.left_out else 0
        asked = [*([per] if per else []), *quoted_columns(columns)]
        say_hints(given, catalog, "" if ranking.checkpoints else where, names=asked)
    if of_run := [row for row in ranking.checkpoints if row.provenance[f"metrics.{metric}"]["scope"] == "run"]:
        given.say(visible(_known_of_runs(metric, of_run, len(ranking.checkpoints))))
    if ranking.ungrouped is None:
        given.say(f"not counted, since that takes long: the checkpoints that have {metric}, but no {per}")
    elif ranking.ungrouped:
        noun = "checkpoint has" if ranking.ungrouped == 1 else "checkpoints have"
        given.say(f"{ranking.ungrouped} {noun} {metric}, but no {per}")
    if ranking.left_out is None:
        given.say(f"not counted, since that takes long: the checkpoints that have no {metric}")
    elif ranking.left_out:
        noun = "checkpoint has" if ranking.left_out == 1 else "checkpoints have"
        given.say(f"{ranking.left_out} {noun} no {metric}")
    if elsewhere:
        order = f"-S {'-' if ranking.mode == 'max' else '+'}{metric}"
        given.say(
            f"{elsewhere} of them have the field {metric}, from another metric: catalogdb ls {order} goes by the field"
        )
    if not ranking.checkpoints:
        given.say("catalogdb: nothing matched")
        click.get_current_context().exit(1)


def _known_of_runs(metric: str, rows: Sequence[Checkpoint], count: int) -> str:
    if count == 1:
        return f"{rows[0].path}: its {metric} is known of its run as a whole, not of this file"
    have = "has a value that is known of its run" if len(rows) == 1 else "have values that are known of their runs"
    return f"{len(rows)} of {count} {have} as a whole, not of the file"


def _by_another_name(catalog: catalogdb.Catalog, metric: str, where: str) -> int:
    """How many checkpoints have the field called as the metric, ``hmean`` say, but not the metric: theirs is
    ``val/hmean``."""
    if metric not in FIELDS or FIELDS[metric].type != "float":
        return 0
    other = f"state = 'ready' AND {metric} IS NOT NULL AND metrics.`{metric}` IS NULL"
    return catalog.count(f"({where}) AND {other}" if where.strip() else other)


def _on_disk(
    catalog: catalogdb.Catalog,
    metric: str,
    *,
    mode: str | None,
    where: str,
    limit: int | None,
    per: str | None,
    unique: bool,
) -> tuple[Ranking, list[str]]:
    """The best of those that are still there, and what to say of better ones that aren't, or of their whole roots."""
    asked = limit
    lost: dict[str, str] = {}
    while True:
        elsewhere = {"root": {"$nin": [*lost]}} if lost else None
        ranking = catalog.rank(metric, mode=mode, where=where, limit=asked, per=per, unique=unique, filters=elsewhere)
        gone = {
            row.path: reason
            for row in ranking.checkpoints
            if row.state != "missing" and (reason := _why_not_there(row.path))
        }
        roots = {row.root: _why_not_there(row.root) for row in ranking.checkpoints if row.path in gone}
        if any(roots.values()):
            lost.update((root, reason) for root, reason in roots.items() if reason)
            continue
        there = tuple(row for row in ranking.checkpoints if row.path not in gone)
        if asked is None or limit is None or per is not None or len(ranking.checkpoints) < asked or len(there) >= limit:
            return replace(ranking, checkpoints=there[:limit]), [*_without(lost), *_gone(gone)]
        if len(gone) > MOST_GONE:
            raise NotFound(f"the best {len(gone)} can't be read, {next(iter(gone))} among them; run catalogdb scan")
        asked = limit + 2 * len(gone)


def _why_not_there(path: str) -> str | None:
    """None for what is there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return None


def _without(roots: Mapping[str, str]) -> Iterator[str]:
    for root, reason in roots.items():
        forget = f" (catalogdb forget {root} drops them)" if reason == GONE else ""
        yield f"{root}: {reason}; its checkpoints are passed over{forget}"


def _gone(paths: Mapping[str, str]) -> Iterator[str]:
    for path, reason in paths.items():
        yield f"{path}: {reason}" + ("; run catalogdb scan to have the catalog know" if reason == GONE else "")
