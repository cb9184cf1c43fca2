"""``catalogdb sidecar``: made of what the catalog knows, and held against the checkpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import click

from catalogdb.catalog import reachable
from catalogdb.cli.access import known_roots, open_existing, require_file
from catalogdb.cli.options import Globals, Group, pass_globals
from catalogdb.cli.output_options import format_option
from catalogdb.cli.render import visible, write_rows
from catalogdb.errors import CatalogError, RootError, UsageError
from catalogdb.records import Problem
from catalogdb.validation import MetadataValidator

STYLES = ("table", "json", "jsonl", "csv", "tsv", "md", "path")
KINDS = ("valid", "missing", "invalid", "drift")
COUNTED = {
    "write": "to write",
    "replace": "to replace",
    "written": "written",
    "replaced": "replaced",
    "kept": "have one already",
    "skipped": "skipped",
    "failed": "failed",
}


@click.group(cls=Group, name="sidecar", short_help="Make sidecars of what is known; check those that are there.")
def command() -> None:
    """Make sidecars (X.metadata.yaml beside X.ckpt) of what the catalog knows, and check those that are there.

    \b
    Examples:
      catalogdb sidecar write --yes
      catalogdb sidecar validate outputs/dbnet-resnet18
    """


@command.command("write", short_help="Write sidecars for checkpoints that have none.")
@click.argument("where", metavar="[FILTER]", default="")
@click.option("-y", "--yes", is_flag=True, help="Write them. Without it, what would be written is listed.")
@click.option("--force", is_flag=True, help="Replace sidecars that are there already.")
@format_option("table", STYLES)
@pass_globals
def write(given: Globals, where: str, yes: bool, force: bool, style: str) -> None:
    """Write sidecars for the checkpoints that a filter matches, or for all, that have none; without --yes list them.

    A sidecar states what is known of that file at its step, wherever the catalog has it from, and nothing that is only
    known of its run. The next scan, in this catalog or in one from nothing, reads it and needs no more. What the format
    requires and nobody knows is marked as unknown in it, and stays null in the catalog. A file that has changed since
    the last scan gets none.

    \b
    Examples:
      catalogdb sidecar write "epoch >= 5"
      catalogdb sidecar write --yes
    """
    done: Counter[str] = Counter()
    with open_existing(given.settings()) as catalog:

        def rows() -> Iterator[tuple[str, str, str, str | None]]:
            for each in catalog.write_sidecars(where, dry_run=not yes, force=force):
                done[each.action] += 1
                if each.action != "kept":
                    yield each.path, each.action, ", ".join(each.values), each.reason

        write_rows(("path", "action", "values", "reason"), rows(), style)
    counts = [f"{done[action]} {word}" for action, word in COUNTED.items() if done[action]]
    given.say(", ".join(counts) + ("; --yes writes them" if done["write"] or done["replace"] else ""))
    if done["failed"]:
        others = "the others are" if done["written"] or done["replaced"] else "none was"
        raise CatalogError(f"{done['failed']} could not be written; {others}")


@command.command("validate", short_help="Check the sidecars below folders.")
@click.argument("roots", nargs=-1, metavar="[ROOT]...")
@format_option("table", STYLES)
@pass_globals
def validate(given: Globals, roots: tuple[str, ...], style: str) -> None:
    """Check the sidecars of all checkpoints below folders, by default those in the settings, else all known roots.

    \b
    valid     can be used, and agrees with its checkpoint
    missing   there is none
    invalid   can't be read, or a field is wrong or missing: with the field, its line, and why; a row for each
    drift     is sound, but about another step, another model or another file than the checkpoint beside it

    Looks at the disk alone, and changes nothing. Exits with 1 unless all are valid. A root that isn't there or can't be
    read is passed over, and the exit code is 3.

    \b
    Examples:
      catalogdb sidecar validate outputs/dbnet-resnet18
      catalogdb sidecar validate outputs --format json > sidecars.json || echo "not all of them are valid"
    """
    settings = given.settings()
    wanted = roots or settings.roots
    if not wanted:
        require_file(settings)
        wanted = tuple(known_roots(settings))
    if not wanted:
        raise UsageError("which folder? write catalogdb sidecar validate ROOT")
    paths, errors = reachable(wanted)
    validator = MetadataValidator(suffixes=settings.suffixes, limits=settings.limits)
    found: Counter[str] = Counter()
    problems: list[Problem] = []

    def rows() -> Iterator[tuple[str, str, str | None, int | None, str | None]]:
        for path in paths:
            for check in validator.iter_directory(path, on_problem=problems.append):
                found[check.kind] += 1
                if check.is_valid:
                    yield str(check.path), check.kind, None, None, None
                for fault in check.faults:
                    yield str(check.path), check.kind, fault.field, fault.line, fault.reason

    if paths:
        write_rows(("path", "class", "field", "line", "reason"), rows(), style)
    for problem in problems:
        given.say(f"{problem.path}: {problem.reason}")
    if paths:
        given.say(", ".join(f"{found[kind]} {kind}" for kind in KINDS if found[kind]) or "no checkpoints")
    for error in errors.values():
        given.fail(visible(str(error)))
    if errors:
        click.get_current_context().exit(RootError.exit_code)
    if found.keys() != {"valid"}:
        click.get_current_context().exit(1)
