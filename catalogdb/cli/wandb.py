"""``catalogdb wandb``: the cache of Weights & Biases' runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.options import Globals, Group, pass_globals
from catalogdb.cli.output_options import format_option
from catalogdb.cli.render import Bytes, to_json, visible, write_line, write_rows
from catalogdb.errors import CatalogError
from catalogdb.records import RunUse

UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
project_option = click.option("--project", metavar="PROJECT", help="Only runs of this PROJECT, or ENTITY/PROJECT.")


@click.group(cls=Group, name="wandb", short_help="Look after the cached runs of Weights & Biases.")
def command() -> None:
    """Look after what the catalog keeps of Weights & Biases' runs: what is there, ask for it again, forget it.

    \b
    Examples:
      catalogdb wandb status
      catalogdb wandb refresh --offline
    """


@command.command("status", short_help="Show what is cached, by project.")
@format_option("table", ("table", "json", "jsonl", "csv", "tsv", "md"))
@pass_globals
def status(given: Globals, style: str) -> None:
    """Show the cached runs of each project: how many, how many W&B doesn't give (absent) and how many are to be asked
    for again (expired), their size, and how old they are. A hit is a run that the cache served, a miss one that was
    asked for or read from its folder. Runs that are known from their folders alone have no server.

    \b
    Examples:
      catalogdb wandb status
      catalogdb wandb status --format json
    """
    with open_existing(given.settings()) as catalog:
        found = catalog.run_use()
    if style in {"table", "md"}:
        headers = ("project", "server", "runs", "absent", "expired", "hits", "misses", "size_bytes", "newest", "oldest")
        now = datetime.now(timezone.utc)
        write_rows(headers, [_shown(use, now) for use in found], style)
    else:
        write_rows(RunUse._fields, found, style)
    if not found:
        given.say("no runs are cached")


@command.command("refresh", short_help="Ask for cached runs again.")
@click.argument("run", metavar="[RUN]", required=False)
@project_option
@click.option("--offline", is_flag=True, help="Ask nothing over the network: read run folders again, use the cache.")
@format_option("table", ("table", "json"))
@pass_globals
def refresh(given: Globals, run: str | None, project: str | None, offline: bool, style: str) -> None:
    """Ask W&B again for all cached runs, finished ones too, or for those of a project, or for one RUN (its id, or
    ENTITY/PROJECT/ID); and bring the rows of their checkpoints up to date.

    For runs that were changed after they had ended. What can't be asked for stays as it was, and ends with 3.

    \b
    Examples:
      catalogdb wandb refresh --offline
      catalogdb wandb refresh --project demo/text-detection --offline
    """
    settings = given.settings(offline=offline or None)
    with open_existing(settings) as catalog:
        report = catalog.refresh_runs(project=project, run=run)
    for problem in report.problems:
        given.say(visible(f"{problem.path}: {problem.tier}: {problem.reason}"))
    if not report.asked and not report.roots:
        _end_with_nothing(given)
    if style == "json":
        counts = {name: getattr(report, name) for name in ("asked", "fetched", "gone")}
        problems = [{"path": problem.path, "reason": problem.reason} for problem in report.problems]
        write_line(to_json({**counts, "problems": problems}, indent=2))
    else:
        write_line(f"{_counted(report.asked)} asked for: {report.fetched} fetched, {report.gone} not there")
    if report.unanswered:
        raise CatalogError(f"{_counted(report.unanswered)} could not be asked for; what is known of them stays")


@command.command("clear", short_help="Forget cached runs.")
@click.argument("run", metavar="[RUN]", required=False)
@project_option
@pass_globals
def clear(given: Globals, run: str | None, project: str | None) -> None:
    """Forget all cached runs, or those of a project, or one RUN (its id, or ENTITY/PROJECT/ID). Checkpoints keep what
    they have; W&B is asked again when they are read again.

    \b
    Examples:
      catalogdb wandb clear
      catalogdb wandb clear --project text-detection
    """
    with open_existing(given.settings()) as catalog:
        gone = catalog.clear_runs(project=project, run=run)
    if not gone and (run is not None or project is not None):
        _end_with_nothing(given)
    write_line(f"{_counted(gone)} forgotten")


def _end_with_nothing(given: Globals) -> None:
    given.say("catalogdb: no such run is cached")
    click.get_current_context().exit(1)


def _shown(use: RunUse, now: datetime) -> Sequence[object]:
    whose = f"{use.entity}/{use.project}" if use.entity else use.project
    times = [None if moment is None else _age(moment, now) for moment in (use.newest, use.oldest)]
    counts = (use.runs, use.absent, use.expired, use.hits, use.misses, Bytes(use.size_bytes))
    return whose, use.base_url or None, *counts, *times


def _age(moment: str, now: datetime) -> str:
    seconds = max(int((now - datetime.fromisoformat(moment)).total_seconds()), 0)
    return next((f"{seconds // unit} {name}" for unit, name in UNITS if seconds >= unit), f"{seconds} s")


def _counted(runs: int) -> str:
    return f"{runs} run" if runs == 1 else f"{runs} runs"
