"""``catalogdb db export-facts`` and ``import-facts``: what the user said, carried over to another catalog."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator

import click

from catalogdb.cli.access import open_existing
from catalogdb.cli.completion import paths
from catalogdb.cli.options import Command, Globals, pass_globals
from catalogdb.cli.render import to_json, visible, write_line
from catalogdb.errors import UsageError
from catalogdb.records import Facts
from catalogdb.settings import expand_home, working_directory


@click.command(cls=Command, name="export-facts", short_help="Write tags, aliases and notes as JSON Lines.")
@pass_globals
def export_facts(given: Globals) -> None:
    """Write the tags, aliases and notes of all checkpoints to stdout, one JSON object in each line.

    They are the part of a catalog that no scan can bring back. Each line has the checkpoint's path and the fingerprint
    of its weights, by which import-facts finds it again.

    \b
    Examples:
      catalogdb db export-facts > facts.jsonl
      catalogdb db export-facts --db runs.db
    """
    with open_existing(given.settings()) as catalog:
        for facts in catalog.export_facts():
            write_line(to_json(facts.to_dict()))


@click.command(cls=Command, name="import-facts", short_help="Read tags, aliases and notes from JSON Lines.")
@click.argument("file", metavar="FILE", shell_complete=paths)
@pass_globals
def import_facts(given: Globals, file: str) -> None:
    """Read what export-facts wrote from FILE, or from stdin where FILE is -, and give it to its checkpoints.

    A checkpoint is found by its path, else by the fingerprint of its weights. Where several have these weights, the one
    at the same place inside its root is taken; where none is, that is said, and nothing guessed. What is said in this
    catalog already stays. All of the file is read before anything is written, and reading it twice changes nothing.
    Exits with 1 when something found no place; each such line is on stderr.

    \b
    Examples:
      catalogdb db import-facts facts.jsonl
      catalogdb db export-facts --db runs.db | catalogdb db import-facts -
    """
    settings = given.settings()
    if file == "-":
        records = list(_read(sys.stdin.buffer, "stdin"))
    else:
        with (working_directory() / expand_home(file)).open("rb") as lines:
            records = list(_read(lines, file))
    with open_existing(settings) as catalog:
        report = catalog.import_facts(records)
    for problem in report.problems:
        given.say(visible(f"{problem.path}: {problem.reason}"))
    given.say(f"{report.by_path} found by path, {report.by_fingerprint} by fingerprint, of {len(records)}")
    if report.problems:
        click.get_current_context().exit(1)


def _read(lines: Iterable[bytes], name: str) -> Iterator[Facts]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield Facts.from_dict(json.loads(line))
        except json.JSONDecodeError as error:
            raise UsageError(f"{name}:{number}: isn't JSON: {error.msg}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{name}:{number}: isn't UTF-8; give a file that export-facts wrote") from error
        except RecursionError as error:
            raise UsageError(f"{name}:{number}: is nested too deeply to be a record") from error
        except ValueError as error:
            raise UsageError(f"{name}:{number}: {error}") from error
