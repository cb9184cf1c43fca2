"""The command line: ``main`` is the one funnel through which every outcome becomes an exit code."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import TextIO

import click

from catalogdb import __version__
from catalogdb.cli.options import Globals, LazyGroup
from catalogdb.errors import CatalogError, QueryError

INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell reports of a program that SIGPIPE ended."""

FAILED = 3

_COMMANDS = {
    "scan": ("catalogdb.cli.scan", "Index the checkpoints under folders."),
    "watch": ("catalogdb.cli.watch", "Keep the catalog true while training runs."),
    "best": ("catalogdb.cli.best", "Print the best checkpoint by a metric."),
    "ls": ("catalogdb.cli.ls", "List checkpoints."),
    "show": ("catalogdb.cli.show", "Show one checkpoint, and where each value comes from."),
    "diff": ("catalogdb.cli.diff", "Show what two checkpoints don't have in common."),
    "compare": ("catalogdb.cli.compare", "Show what isn't the same for several checkpoints."),
    "verify": ("catalogdb.cli.verify", "Look for what is wrong with the checkpoints."),
    "sidecar": ("catalogdb.cli.sidecar", "Make sidecars of what is known; check those that are there."),
    "tag": ("catalogdb.cli.tag", "Put tags on a checkpoint, or take them off."),
    "note": ("catalogdb.cli.note", "Write a note to a checkpoint."),
    "alias": ("catalogdb.cli.alias", "Give a checkpoint a name of its own."),
    "du": ("catalogdb.cli.du", "Show what the checkpoints take on disk."),
    "plot": ("catalogdb.cli.plot", "Draw a metric over the steps of training."),
    "sql": ("catalogdb.cli.sql", "Ask the catalog in SQL, read-only."),
    "forget": ("catalogdb.cli.forget", "Drop a root and its rows from the catalog."),
    "status": ("catalogdb.cli.status", "Show what the catalog holds."),
    "wandb": ("catalogdb.cli.wandb", "Look after the cached runs of Weights & Biases."),
    "db": ("catalogdb.cli.db", "Look after the catalog's file."),
    "demo": ("catalogdb.cli.demo", "Lay out a small outputs tree to try everything on."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def cli() -> None:
    """A catalog of the checkpoints on your disk: which file is the best, and why.

    Data goes to stdout, all else to stderr. Exit codes: 0 fine, 1 nothing matched or a check found
    something wrong, 2 usage, 3 database or I/O, 4 schema too old or too new, 130 interrupted.

    \b
    Examples:
      catalogdb scan outputs/
      catalogdb best -m val/hmean
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code; nothing is raised."""
    given = Globals()
    if sys.stdout is None:  # the shell closed it (>&-): Python doesn't open a stream then
        sys.stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _log_warning
            code = _run(list(sys.argv[1:] if arguments is None else arguments), given)
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the one funnel: whatever comes here ends as one line and a code
        if given.debug:
            traceback.print_exc()
        code = _report(error)
    _let_go_of_stdout()
    return code


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as one line of the log, without the place in the code that it comes from."""
    logging.getLogger("catalogdb").warning("%s", message)


def _run(arguments: list[str], given: Globals) -> int:
    if "_CATALOGDB_COMPLETE" in os.environ:
        cli.main(arguments, prog_name="catalogdb", obj=given)
    # Not cli.main: it would make exit code 1 of a broken pipe, and an Abort of an interrupt.
    try:
        with cli.make_context("catalogdb", arguments, obj=given) as ctx:
            cli.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


def _report(error: Exception) -> int:
    """Says in one line what went wrong, and returns the exit code that belongs to it."""
    if isinstance(error, click.UsageError):
        asked = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        return _fail(error.format_message() + asked, error.exit_code)
    if isinstance(error, click.Abort):
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        return _fail(error.format_message(), error.exit_code)
    if isinstance(error, QueryError):
        return _fail(str(error), error.exit_code, several_lines=True)
    if isinstance(error, CatalogError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, OSError):
        named = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        return _fail(f"{named}{error.strerror or error}", FAILED)
    return _fail(
        f"a bug in catalogdb {__version__}: {type(error).__name__}: {error} "
        "(please report it, with what --debug shows)",
        FAILED,
    )


def _fail(message: str, code: int, *, several_lines: bool = False) -> int:
    text = message if several_lines else " ".join(message.split("\n"))
    with contextlib.suppress(OSError):
        click.echo(f"catalogdb: error: {text}", err=True)
    return code


def _let_go_of_stdout() -> None:
    """What couldn't be written was reported; Python would try again when it ends, and end with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
