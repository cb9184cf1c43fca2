"""``catalogdb db``: the catalog's file and its schema."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

import catalogdb
from catalogdb.cli import db_facts
from catalogdb.cli.access import open_existing, require_file
from catalogdb.cli.completion import paths
from catalogdb.cli.options import Globals, Group, pass_globals
from catalogdb.cli.render import visible, write_line
from catalogdb.errors import CatalogError, DatabaseError, SchemaOutdated
from catalogdb.settings import database_file, working_directory


@click.group(cls=Group, name="db", short_help="Look after the catalog's file.")
def command() -> None:
    """Look after the catalog's file: bring its schema up to date, say which one it has, copy it, check it, and
    carry tags, aliases and notes over to another one.

    \b
    Examples:
      catalogdb db current
      catalogdb db backup before-the-move.db
    """


command.add_command(db_facts.export_facts)
command.add_command(db_facts.import_facts)


@command.command("upgrade", short_help="Bring the schema up to date.")
@pass_globals
def upgrade(given: Globals) -> None:
    """Bring the schema of the catalog up to date, after a backup beside it; nothing is lost when it fails.

    A catalog that is up to date is left as it is. Prints the schema it had and the one it has.

    \b
    Examples:
      catalogdb db upgrade
      catalogdb db upgrade --db runs.db
    """
    settings = given.settings()
    require_file(settings)
    report = catalogdb.Catalog.upgrade(settings=settings)
    if report.backup is not None:
        given.say(f"the catalog as it was: {report.backup}")
    if report.before == report.after:
        write_line(f"{report.after}: up to date")
    else:
        write_line(f"{report.before or 'empty'} -> {report.after}")


@command.command("current", short_help="Say which schema the catalog has.")
@pass_globals
def current(given: Globals) -> None:
    """Print the revision of the catalog's schema. Exits with 4 when it isn't the one that this catalogdb works on.

    \b
    Examples:
      catalogdb db current
      catalogdb db current --db runs.db || catalogdb db upgrade --db runs.db
    """
    settings = given.settings()
    require_file(settings)
    report = catalogdb.Catalog.revision(settings=settings)
    write_line(report.current or "none")
    if report.current != report.head:
        raise SchemaOutdated(
            f"{database_file(settings.url)}: this catalogdb works on {report.head}; "
            "catalogdb db upgrade brings an older catalog there"
        )


@command.command("backup", short_help="Copy the catalog, while it's in use.")
@click.argument("destination", metavar="[FILE]", shell_complete=paths, required=False)
@pass_globals
def backup(given: Globals, destination: str | None) -> None:
    """Copy the catalog to FILE, or to a dated file beside it, whole even while it's written; print where it went.

    A file that is there already isn't overwritten.

    \b
    Examples:
      catalogdb db backup
      catalogdb db backup before-the-move.db
    """
    settings = given.settings()
    target = _beside(database_file(settings.url)) if destination is None else working_directory() / destination
    if target.is_dir():
        target = _dated(target / "catalog.db")
    with open_existing(settings) as catalog:
        write_line(str(catalog.backup(target)))


def _beside(path: Path | None) -> Path:
    if path is None:
        raise CatalogError("a catalog in memory has no place for a backup; name a file")
    return _dated(path)


def _dated(path: Path) -> Path:
    return path.with_name(f"{path.stem}-{datetime.now().astimezone():%Y%m%dT%H%M%S}.db")


@command.command("check", short_help="Check that the file is whole.")
@pass_globals
def check(given: Globals) -> None:
    """Check the catalog's file: its pages, its indexes, its references. Prints ok, or what is wrong and exits with 3.

    \b
    Examples:
      catalogdb db check
      catalogdb db check --db runs.db
    """
    with open_existing(given.settings()) as catalog:
        faults = catalog.check()
    for fault in faults:
        write_line(visible(fault))
    if faults:
        raise DatabaseError("the catalog is damaged; restore a backup, or scan into a new file")
    write_line("ok")
