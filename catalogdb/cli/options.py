"""What every command shares: the options that stand before or after it, and the classes that make that so."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from catalogdb import __version__
from catalogdb.settings import Settings, did_you_mean, load_settings


@dataclass
class Globals:
    """The options that stand before or after the command, as far as they were given."""

    db: str | None = None
    config: str | None = None
    verbose: int = 0
    quiet: bool = False
    debug: bool = False

    def settings(self, **overrides: Any) -> Settings:
        """The settings that hold for this run, with logging set up as they say."""
        level = {0: "error" if self.quiet else None, 1: "info"}.get(self.verbose, "debug")
        settings = load_settings(
            overrides={"url": self.db, "log": level, **overrides},
            config_file=None if self.config is None else Path(self.config),
        )
        _start_logging(settings.log)
        return settings

    def say(self, text: str) -> None:
        """A line for the person at the terminal, who may have asked for silence."""
        if not self.quiet:
            click.echo(text, err=True)

    def fail(self, text: str) -> None:
        """A line about what went wrong while the rest goes on: errors are said even to who asked for silence."""
        click.echo(f"catalogdb: error: {text}", err=True)


pass_globals = click.make_pass_decorator(Globals, ensure=True)


class _Echo(logging.Handler):
    """Logs to what stderr is at that moment: a progress bar puts itself in its place for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"catalogdb: {record.levelname.lower()}: {record.getMessage()}", err=True)


def _start_logging(level: str) -> None:
    logger = logging.getLogger("catalogdb")
    logger.setLevel(level.upper())
    logger.propagate = False
    if not any(isinstance(handler, _Echo) for handler in logger.handlers):
        logger.addHandler(_Echo())


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keeps what was given; what stands after the command wins over what stands before it, -v adds up."""
    given = ctx.find_root().ensure_object(Globals)
    if param.name == "verbose":
        given.verbose += value or 0
    elif value not in (None, False) and param.name is not None:
        setattr(given, param.name, value)


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"catalogdb {__version__}")
        ctx.exit()


class _GlobalOption(click.Option):
    """An option that every command has; its help stands in a section of its own."""


def is_global(param: click.Parameter) -> bool:
    """Whether every command has this option."""
    return isinstance(param, _GlobalOption)


def _global_options() -> list[click.Parameter]:
    def option(*names: str, **settings: Any) -> click.Parameter:
        return _GlobalOption(list(names), expose_value=False, **{"callback": _remember, **settings})

    return [
        option("--db", metavar="URL", help="The catalog: a SQLite file, or a URL such as sqlite:///runs.db."),
        option("--config", metavar="FILE", help="Read this file in place of the project's catalogdb.toml."),
        option("-v", "--verbose", count=True, help="Say more; twice says all."),
        option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors."),
        option("--debug", is_flag=True, help="Show the traceback of an error."),
        option("--version", is_flag=True, is_eager=True, callback=_show_version, help="Show the version and exit."),
    ]


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Global options": []}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            sections["Global options" if is_global(param) else "Options"].append(record)
    for title, records in sections.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


class Command(click.Command):
    """A command that takes the global options as well."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _global_options()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_options(self, ctx, formatter)


class Group(click.Group):
    """A group that takes the global options as well, and names the commands that a mistyped one looks like."""

    command_class = Command

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"no_args_is_help": False, **settings})
        self.params += _global_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            # click's own way to do this ends with 0 or 2, by its version
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args[0] not in names:
            ctx.fail(f"no command {args[0]!r}{did_you_mean(args[0], names)}")
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group whose commands are imported when they're run: ``lazy`` maps names to (module, short help).

    Each module has its command as ``command``.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return None
        command: click.Command = importlib.import_module(self.lazy[cmd_name][0]).command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As a group's, without importing a command for its help."""
        found = [
            CompletionItem(name, help=short) for name, (_, short) in self.lazy.items() if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in self.lazy.items()])
