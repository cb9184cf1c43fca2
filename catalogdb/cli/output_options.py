"""Options that many commands share: how an answer is written, and which of its rows and columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click
from click.core import ParameterSource

from catalogdb.cli.completion import columns
from catalogdb.cli.render import FORMATS
from catalogdb.errors import UsageError


def format_option(default: str, styles: Sequence[str] = FORMATS) -> Callable[[Any], Any]:
    """``--format``, and ``--print0`` where paths are one of its styles: the command hears of both as ``style``."""
    option = click.option(
        "--format", "style", type=click.Choice(styles), default=default, show_default=True, help="How to write it."
    )
    if "path" not in styles:
        return option
    print0 = click.option("--print0", is_flag=True, help="Paths alone, with a NUL after each, for xargs -0.")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*arguments: Any, style: str, print0: bool, **options: Any) -> Any:
            if print0:
                given = click.get_current_context().get_parameter_source("style")
                if style != "path" and given is not ParameterSource.DEFAULT:
                    raise UsageError(f"--print0 writes paths; it doesn't go with --format {style}")
                style = "path0"
            return function(*arguments, style=style, **options)

        return option(print0(run))

    return decorate


columns_option = click.option(
    "-c",
    "--columns",
    metavar="COLUMNS",
    shell_complete=columns,
    help="What to write, with commas between: fields, metrics.NAME, params.NAME, tags.NAME.",
)

unique_option = click.option(
    "--unique", is_flag=True, help="Only the first of files with the same weights, and of links to one file."
)
