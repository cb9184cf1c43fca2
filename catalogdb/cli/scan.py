"""``catalogdb scan``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click

import catalogdb
from catalogdb.cli.access import has_catalog, known_roots
from catalogdb.cli.completion import paths
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.output_options import format_option
from catalogdb.cli.progress import progress_bar
from catalogdb.cli.render import to_json, visible, write_line
from catalogdb.errors import RootError, UsageError
from catalogdb.records import ScanReport
from catalogdb.settings import Settings

SHOWN_PROBLEMS = 20
COUNTS = ("new", "updated", "unchanged", "moved", "missing", "writing", "unreadable")


@click.command(cls=Command, name="scan", short_help="Index the checkpoints under folders.")
@click.argument("roots", nargs=-1, metavar="[ROOT]...", shell_complete=paths)
@click.option("--full", is_flag=True, help="Read every file again, changed or not.")
@click.option("--no-wandb", is_flag=True, help="Leave Weights & Biases out.")
@click.option("--offline", is_flag=True, help="Ask nothing over the network; what is cached still serves.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="How many files to read at a time.")
@format_option("table", ("table", "json"))
@pass_globals
def command(
    given: Globals,
    roots: tuple[str, ...],
    full: bool,
    no_wandb: bool,
    offline: bool,
    workers: int | None,
    style: str,
) -> None:
    """Bring the catalog up to date with the checkpoints under each ROOT; without one, under the roots in the settings,
    else under all that the catalog knows.

    Files that haven't changed aren't read again, and none is ever executed. Ends with a line that counts the entries.
    What kept a file from being used is said when it's read; `catalogdb status` says it as long as it holds. A scan that
    reached its end exits with 0, whatever single files were like. A root that isn't there or can't be read is passed
    over: its rows are stale then, until a scan can read it, and the exit code is 3.

    \b
    Examples:
      catalogdb scan outputs/
      catalogdb scan outputs/ --no-wandb --format json
    """
    settings = given.settings(offline=offline or None)
    wanted = roots or settings.roots or known_roots(settings)
    if not wanted:
        raise UsageError("which folder? write catalogdb scan ROOT, or set roots in catalogdb.toml")
    from catalogdb.catalog import reachable  # noqa: PLC0415  # completion needn't wait for it

    paths, errors = reachable(wanted)
    if paths:
        report = run_scan(given, settings, *paths, full=full, use_wandb=not no_wandb, workers=workers)
        if style == "json":
            write_line(to_json(report.to_dict(), indent=2))
        else:
            tell(given, report)
            write_line(report.summary())
    if errors:
        give_up(given, settings, errors)


def give_up(given: Globals, settings: Settings, errors: Mapping[str, RootError]) -> NoReturn:
    """Ends with what is wrong with roots that can't be scanned. The rows of those that the catalog knows are stale from
    now on; but not what has gone from a root that is there, or is a file in it: a scan of that root tells."""
    lines = {root: str(error) for root, error in errors.items()}
    if has_catalog(settings):
        with catalogdb.Catalog.open(settings=settings) as catalog:
            known = catalog.known_roots()
            for path in lines:
                above = next((root for root in known if path.startswith(root.rstrip("/") + "/")), None)
                if above is not None and Path(above).is_dir() and not Path(path).is_dir():
                    lines[path] += f"; for what lies in the root {above}, scan that"
                elif catalog.set_out_of_reach(path):
                    lines[path] += "; its rows are stale until it can be scanned"
                    if path in known:
                        lines[path] += f", and catalogdb forget {path} drops them"
    for line in lines.values():
        given.fail(visible(line))
    click.get_current_context().exit(RootError.exit_code)


def run_scan(
    given: Globals,
    settings: Settings,
    *roots: str,
    full: bool = False,
    use_wandb: bool = True,
    workers: int | None = None,
) -> ScanReport:
    """One scan with its progress bar; an interrupted one says what is kept."""
    try:
        with (
            catalogdb.Catalog.open(settings=settings) as catalog,
            progress_bar(wanted=not given.quiet) as on_progress,
        ):
            return catalog.scan(*roots, full=full, use_wandb=use_wandb, workers=workers, on_progress=on_progress)
    except KeyboardInterrupt:
        given.say("interrupted; the rows so far are kept, and the next scan carries on")
        raise


def tell(given: Globals, report: ScanReport) -> None:
    """The problems and the counts, on stderr."""
    for problem in report.problems[:SHOWN_PROBLEMS]:
        tier = f"{problem.tier}: " if problem.tier else ""
        given.say(visible(f"{problem.path}: {tier}{problem.reason}"))
    more = len(report.problems) - SHOWN_PROBLEMS
    if more > 0:
        given.say(f"and {more} more; see catalogdb status")
    if report.foreign:
        noun = (
            "file has a checkpoint's name but holds"
            if report.foreign == 1
            else "files have a checkpoint's name but hold"
        )
        given.say(f"{report.foreign} {noun} none")
    counts = [f"{getattr(report, name)} {name}" for name in COUNTS if getattr(report, name)]
    if counts:
        given.say(", ".join(counts))
