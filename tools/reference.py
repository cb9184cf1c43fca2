"""Writes the pages of docs/ that are made from the code: ``make docs``, or ``python -m tools.reference``.

A test holds the pages equal to what this writes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from catalogdb.cli.main import cli
from catalogdb.cli.options import is_global
from catalogdb.query.fields import FIELDS
from catalogdb.settings import SETTINGS

DOCS = Path(__file__).resolve().parent.parent / "docs"
VERBATIM = "\b\n"
NOTICE = "<!-- Written by `make docs` from the code: change it there. -->"


def walk(command: click.Command, ctx: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """A command and all below it, each with its context, in the order of the help."""
    yield command, ctx
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            if below is not None and not below.hidden:
                yield from walk(below, click.Context(below, info_name=name, parent=ctx))


def commands() -> list[tuple[str, click.Command]]:
    """Every command with what is typed to call it, ``catalogdb db check`` say; the program itself first."""
    return [(ctx.command_path, command) for command, ctx in walk(cli, click.Context(cli, info_name="catalogdb"))]


def examples_of(command: click.Command) -> list[str]:
    """The command lines under ``Examples:`` in a command's help."""
    text = inspect.cleandoc(command.help or "").partition("Examples:\n")[2].partition("\n\n")[0]
    return [line.strip() for line in text.splitlines() if line.strip()]


def _prose(command: click.Command) -> str:
    text = inspect.cleandoc(command.help or "").partition("\b\nExamples:")[0]
    return "\n\n".join(_paragraph(part) for part in text.strip().split("\n\n"))


def _paragraph(text: str) -> str:
    """One line; a block that click leaves as it is, stays so."""
    return f"```\n{text.removeprefix(VERBATIM)}\n```" if text.startswith(VERBATIM) else " ".join(text.split())


def _placeholder(param: click.Parameter) -> str:
    """What stands for the value: ``METRIC``, or the choices."""
    if isinstance(param.type, click.Choice) and not param.metavar:
        return "|".join(str(choice) for choice in param.type.choices)
    return param.metavar or (param.name or "").upper()


def _usage(path: str, command: click.Command) -> str:
    words = [path]
    if any(isinstance(param, click.Option) and not is_global(param) for param in command.params):
        words.append("[OPTIONS]")
    if isinstance(command, click.Group):
        words.append("COMMAND")
    words += [_placeholder(param) for param in command.params if isinstance(param, click.Argument)]
    return " ".join(words)


def _option(option: click.Option) -> str:
    value = "" if option.is_flag or option.count else f" {_placeholder(option)}"
    notes = ["required"] if option.required else []
    if option.show_default and not option.is_flag:
        notes.append(f"default: `{option.default}`")
    if option.multiple:
        notes.append("may be given several times")
    names = ", ".join([*option.opts, *option.secondary_opts])
    noted = f" ({'; '.join(notes)})" if notes else ""
    return f"- `{names}{value}`: {' '.join((option.help or '').split())}{noted}"


def _options(command: click.Command, *, shared: bool) -> list[str]:
    return [
        _option(param)
        for param in command.params
        if isinstance(param, click.Option) and is_global(param) == shared and not param.hidden
    ]


def _section(path: str, command: click.Command) -> str:
    parts = [f"{'#' * len(path.split())} {path}", f"```\n{_usage(path, command)}\n```", _prose(command)]
    options = _options(command, shared=False)
    if options:
        parts.append("\n".join(options))
    examples = examples_of(command)
    if examples:
        parts.append("```sh\n" + "\n".join(examples) + "\n```")
    return "\n\n".join(part for part in parts if part)


def cli_page() -> str:
    """docs/cli.md: the commands, their options and their examples."""
    (_, program), *rest = commands()
    contents = "\n".join(
        f"- [`{path}`](#{re.sub(r'[^a-z0-9 -]', '', path.lower()).replace(' ', '-')}): {command.short_help}"
        for path, command in rest
    )
    parts = [
        "# The command line",
        NOTICE,
        _prose(program),
        contents,
        "## Global options",
        "They stand before or after the command; what stands after it wins.",
        "\n".join(_options(program, shared=True)),
        *(_section(path, command) for path, command in rest),
    ]
    return "\n\n".join(parts) + "\n"


def _table(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fields_page() -> str:
    """docs/fields.md: the fields that filters, orderings, columns and ``--per`` know."""
    rows = [
        [f"`{field.name}`", field.type, field.description, ", ".join(f"`{name}`" for name in field.synonyms)]
        for field in FIELDS.values()
    ]
    text = (
        "Filters, orderings (`-S`), columns (`-c`) and `--per` know these fields, and with them `metrics.NAME`, "
        '`params.NAME` and `tags.NAME`. Names with odd characters stand in `` `backticks` `` or "double quotes". '
        "Unknown is null, never 0 or an empty text."
    )
    return "\n\n".join(["# Fields", NOTICE, text, _table(["field", "type", "", "also called"], rows)]) + "\n"


def settings_page() -> str:
    """docs/settings.md: what can be set, and where."""
    rows = [
        [
            f"`{setting.name}`",
            f"`{setting.flag}`" if setting.flag else "",
            ", ".join(f"`{name}`" for name in setting.variables),
            setting.description,
        ]
        for setting in SETTINGS
    ]
    text = (
        "A flag wins over the environment, that over the project's file (`catalogdb.toml`, or `[tool.catalogdb]` in "
        "`pyproject.toml`, found by walking up from the working directory), that over the user's file "
        "(`$XDG_CONFIG_HOME/catalogdb/config.toml`), and that over the default. `[wandb] timeout` in a file is another "
        "way to write `wandb_timeout`, and `[limits] pickle_bytes` one to write `limits_pickle_bytes`. A project's "
        "file may not set limits, which guard its reader. `NO_COLOR` and the `XDG_*` variables are honoured."
    )
    return "\n\n".join(["# Settings", NOTICE, text, _table(["key in a file", "flag", "environment", ""], rows)]) + "\n"


PAGES: dict[str, Callable[[], str]] = {"cli.md": cli_page, "fields.md": fields_page, "settings.md": settings_page}


def main() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
