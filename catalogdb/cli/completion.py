"""What a shell may write for the user: names of metrics and fields, aliases, paths. Nothing here reports an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from catalogdb.cli.options import Globals
from catalogdb.errors import CatalogError
from catalogdb.names import Kind, names_in
from catalogdb.query.fields import FIELDS
from catalogdb.settings import database_file

_GROUPS: tuple[Kind, ...] = ("metrics", "params", "tags")


def _file(ctx: click.Context) -> Path | None:
    """The catalog that the command line so far is about."""
    try:
        return database_file(ctx.find_root().ensure_object(Globals).settings().url)
    except CatalogError:
        return None


def metrics(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    path = _file(ctx)
    return [CompletionItem(name) for name in names_in(path, "metrics", incomplete)] if path else []


def fields(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Fields, ``metrics.NAME``, ``params.NAME`` and ``tags.NAME``: the latter when their group was begun."""
    return list(_fields(_file(ctx), incomplete))


def columns(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The last of several, with commas between."""
    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(f"{before}{comma}{item.value}", help=item.help) for item in _fields(_file(ctx), last)]


def _fields(path: Path | None, incomplete: str) -> Iterator[CompletionItem]:
    for field in FIELDS.values():
        if field.name.startswith(incomplete):
            yield CompletionItem(field.name, help=field.description)
    group, dot, begun = incomplete.partition(".")
    for kind in _GROUPS:
        if kind == group and dot and path is not None:
            yield from (CompletionItem(f"{kind}.{name}") for name in names_in(path, kind, begun))
        elif not dot and kind.startswith(incomplete):
            yield CompletionItem(f"{kind}.")


def refs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """``@ALIAS``, or what the shell knows of files."""
    if not incomplete.startswith("@"):
        return [CompletionItem(incomplete, type="file")]
    path = _file(ctx)
    return [CompletionItem(f"@{name}") for name in names_in(path, "aliases", incomplete[1:])] if path else []


def roots(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Those that the catalog has; they may be gone from the disk."""
    path = _file(ctx)
    return [CompletionItem(root) for root in names_in(path, "roots", incomplete)] if path else []


def paths(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]
