"""``catalogdb watch``."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

import click

from catalogdb.catalog import reachable
from catalogdb.cli.access import known_roots
from catalogdb.cli.completion import paths
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.progress import progress_bar
from catalogdb.cli.render import write_line
from catalogdb.cli.scan import give_up, tell
from catalogdb.daemon import FactFormatter, Watcher, WatchOptions, detach, unit
from catalogdb.errors import UsageError
from catalogdb.settings import Settings, database_file, state_folder


@click.command(cls=Command, name="watch", short_help="Keep the catalog true while training runs.")
@click.argument("roots", nargs=-1, metavar="[ROOT]...", shell_complete=paths)
@click.option("--once", is_flag=True, help="Bring the catalog in line, and leave.")
@click.option("--poll", is_flag=True, help="Use no events: look every few seconds (the setting watch_poll).")
@click.option("--detach", "in_background", is_flag=True, help="Watch in the background; say so once it does.")
@click.option("--pid-file", type=click.Path(path_type=Path), metavar="FILE", help="Holds the process id while it runs.")
@click.option("--log-file", type=click.Path(path_type=Path), metavar="FILE", help="Where --detach writes the log.")
@click.option("--log-format", type=click.Choice(("text", "json")), default="text", help="How the log is written.")
@click.option("--exec", "command_line", metavar="CMD", help="Run this for each event, which it gets as JSON on stdin.")
@click.option("--no-wandb", is_flag=True, help="Leave Weights & Biases out.")
@click.option("--offline", is_flag=True, help="Ask nothing over the network; what is cached still serves.")
@click.option("--print-unit", is_flag=True, help="Print a systemd unit for this command, and leave.")
@pass_globals
def command(
    given: Globals,
    roots: tuple[str, ...],
    once: bool,
    poll: bool,
    in_background: bool,
    pid_file: Path | None,
    log_file: Path | None,
    log_format: str,
    command_line: str | None,
    no_wandb: bool,
    offline: bool,
    print_unit: bool,
) -> None:
    """Keep the catalog true: a checkpoint that was written is in it a moment later, one that is gone is known as gone.

    Without ROOT, watches the roots in the settings, else all that the catalog knows. A root that isn't there is waited
    for beside others, or where the catalog knows it; with --once it is passed over, and the exit code is 3. The log is
    on stderr, a line for each fact. SIGTERM and SIGINT end it after the batch in hand; SIGHUP has it look at everything
    and read the settings again. Where events can't be relied on (a network filesystem, too many folders), it says so
    and looks every few seconds instead.

    \b
    Examples:
      catalogdb watch outputs/ --once
      catalogdb watch outputs/ --print-unit
    """
    if once and in_background:
        raise UsageError("--once leaves when it's done; --detach goes on watching: write one of them")
    settings = given.settings(offline=offline or None)
    if database_file(settings.url) is None and not once:
        raise UsageError("a catalog in memory can't be watched: nobody else sees it; name a file with --db")
    wanted = roots or settings.roots or known_roots(settings)
    if not wanted:
        raise UsageError("which folder? write catalogdb watch ROOT, or set roots in catalogdb.toml")
    paths, errors = reachable(wanted)
    if not paths and (once or not errors.keys() & set(known_roots(settings))):
        give_up(given, settings, errors)
    arguments = [
        *paths,
        *errors,
        *(["--poll"] if poll else []),
        *(["--exec", command_line] if command_line else []),
        *(["--no-wandb"] if no_wandb else []),
        *(["--offline"] if offline else []),
    ]
    if print_unit:
        write_line(unit([*arguments, *_globals(given, settings)]).rstrip())
        return
    if in_background:
        log = log_file or state_folder() / "watch.log"
        more = [*_globals(given, settings), "--log-format", log_format]
        if log_file is None:
            log.parent.mkdir(parents=True, exist_ok=True)
        pid = detach(["watch", *arguments, *more, *(["--pid-file", str(pid_file)] if pid_file else [])], log_file=log)
        given.say(f"watching in the background, process {pid}; its log is {log}")
        write_line(str(pid))
        return
    options = WatchOptions(
        tuple(paths) if once else (*paths, *errors),
        poll=poll,
        once=once,
        use_wandb=not no_wandb,
        command=command_line,
        pid_file=pid_file,
    )
    _start_logging(given, log_format)
    with progress_bar(wanted=not given.quiet) as on_progress:
        watcher = Watcher(
            options,
            settings,
            reload=lambda: replace(given.settings(offline=offline or None), url=settings.url),
            on_progress=on_progress,
        )
        report = watcher.run()
    if report is not None:
        tell(given, report)
        write_line(report.summary())
        if errors:
            give_up(given, settings, errors)


def _globals(given: Globals, settings: Settings) -> list[str]:
    config = ["--config", str(Path(given.config).absolute())] if given.config else []
    return ["--db", settings.url, *config]


def _start_logging(given: Globals, style: str) -> None:
    """The facts are what this command has to say: they don't wait for -v."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FactFormatter("json" if style == "json" else "text"))
    logger = logging.getLogger("catalogdb.watch")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.ERROR if given.quiet else logging.DEBUG if given.verbose else logging.INFO)
