"""Catalogs by URL, and by the path of their file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from catalogdb.errors import UsageError
from catalogdb.settings.folders import home_folder
from catalogdb.settings.place import Place

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")


def normalise_url(written: str | os.PathLike[str], *, base: Path) -> str:
    """A SQLAlchemy URL for a URL or the path of a SQLite file; a relative path is taken from ``base``.

    Raises UsageError where it is neither, or names another database than SQLite.
    """
    try:
        return absolute_url(os.fsdecode(written), Place("", base, home_folder()))
    except ValueError as error:
        raise UsageError(f"{written}: {error}") from error


def database_file(url: str) -> Path | None:
    """The file of a normalised URL; None for a catalog in memory."""
    path, _, query = url.partition(":///")[2].partition("?")
    if "uri" in query:
        path = unquote(path.removeprefix("file:"))
    return Path(path) if path and path != ":memory:" else None


def absolute_url(written: str, place: Place) -> str:
    """The same for what was written in ``place``. Raises ValueError with what to write instead."""
    if not written:
        raise ValueError("write the path of a SQLite file, or sqlite:///path/to/catalog.db")
    if written == ":memory:":
        return "sqlite://"
    if not _SCHEME.match(written):
        if "?" in written:
            raise ValueError("a database's path can't hold a question mark; choose another name")
        return f"sqlite:///{place.absolute(written)}"
    scheme, _, rest = written.partition("://")
    if scheme.partition("+")[0] != "sqlite":
        raise ValueError("catalogs are SQLite files; write sqlite:///path/to/catalog.db")
    path, mark, query = rest.removeprefix("/").partition("?")
    if rest and not rest.startswith("/"):
        raise ValueError("has two slashes where SQLite's URLs have three; write sqlite:///path/to/catalog.db")
    if path in {"", ":memory:"} or path.startswith("file:"):
        return written
    return f"{scheme}:///{place.absolute(path)}{mark}{query}"
