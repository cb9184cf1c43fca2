"""``catalogdb status``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

import catalogdb
from catalogdb.cli.access import open_existing
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.output_options import format_option
from catalogdb.cli.render import to_json, visible, write_line
from catalogdb.settings import Settings, database_file


@click.command(cls=Command, name="status", short_help="Show what the catalog holds.")
@format_option("table", ("table", "json"))
@pass_globals
def command(given: Globals, style: str) -> None:
    """Show the catalog's file and schema, its roots and when they were scanned, its rows by state and by source, the
    watchers, the cached runs, and the problems that the last scans met.

    \b
    Examples:
      catalogdb status
      catalogdb status --format json
    """
    status = _status(given.settings())
    if style == "json":
        write_line(to_json(status, indent=2))
        return
    for label, text in _lines(status):
        write_line(visible(f"{label:<8}  {text}".rstrip()))


def _status(settings: Settings) -> dict[str, Any]:
    path = database_file(settings.url)
    with open_existing(settings) as catalog:
        found = asdict(catalog.status())
        return {
            "url": catalog.url,
            "path": None if path is None else str(path),
            "size_bytes": None if path is None else path.stat().st_size,
            "revision": None if path is None else catalogdb.Catalog.revision(settings=settings).current,
            **found,
            "problems": [{"path": where, "reason": reason} for where, reason in found["problems"]],
        }


def _lines(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Labels and texts; a label stands once for the lines that belong to it."""
    size = status["size_bytes"]
    yield "catalog", status["path"] or status["url"]
    if size is not None:
        yield "", f"{size:,} bytes, schema {status['revision']}"
    roots = [
        f"{root['path']}  ({root['rows']} on disk, {_scanned(root['scanned_at'])})"
        + (f"; {_number(root['problems'])}" if root["problems"] else "")
        for root in status["roots"]
    ]
    watchers = [
        f"{item['host']} {item['pid']}: {item['status'] if item['alive'] else 'gone'}, "
        f"last heard {item['heartbeat_at']}, "
        f"watching {', '.join(item['roots'])}"
        for item in status["watchers"]
    ]
    problems = [f"{path}: {reason}" for path, reason in _problems(status)]
    yield from _labelled("roots", roots)
    yield "states", _counts(status["by_state"]) + (f"; {status['stale']} stale" if status["stale"] else "")
    yield "sources", _counts(status["by_source"])
    yield from _labelled("watchers", watchers)
    yield "runs", f"{status['cached_runs']} cached"
    yield from _labelled("problems", problems)


def _scanned(when: str | None) -> str:
    return f"scanned {when}" if when else "never scanned to its end"


def _number(problems: Sequence[str]) -> str:
    return "1 problem" if len(problems) == 1 else f"{len(problems)} problems"


def _problems(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for root in status["roots"]:
        for reason in root["problems"]:
            yield root["path"], reason
    for watcher in status["watchers"]:
        for reason in watcher["problems"]:
            yield f"watcher {watcher['host']} {watcher['pid']}", reason
    for problem in status["problems"]:
        yield problem["path"], problem["reason"]


def _labelled(label: str, texts: list[str]) -> Iterator[tuple[str, str]]:
    for text in texts or ["none"]:
        yield label, text
        label = ""


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
