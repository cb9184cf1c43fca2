"""How commands come by a catalog. ``catalogdb.Catalog`` is imported when it is first used: completion needn't wait."""

from __future__ import annotations

import catalogdb
from catalogdb.errors import DatabaseError
from catalogdb.settings import Settings, database_file


def open_existing(settings: Settings) -> catalogdb.Catalog:
    """The catalog that the settings name, for a command that asks it. One that isn't there yet is an error, and isn't
    made."""
    require_file(settings)
    return catalogdb.Catalog.open(settings=settings)


def known_roots(settings: Settings) -> list[str]:
    """The roots of the catalog that the settings name; none where there is no catalog yet."""
    if not has_catalog(settings):
        return []
    with catalogdb.Catalog.open(settings=settings) as catalog:
        return catalog.known_roots()


def has_catalog(settings: Settings) -> bool:
    """Whether the settings name a file, and something was written to it."""
    path = database_file(settings.url)
    return path is not None and path.exists() and path.stat().st_size > 0


def require_file(settings: Settings) -> None:
    """Raises DatabaseError where the settings name a file that isn't there, or that nothing was written to."""
    path = database_file(settings.url)
    if path is None:
        return
    if not path.exists():
        raise DatabaseError(f"{path}: no such catalog; make it with: catalogdb scan ROOT")
    if path.is_file() and path.stat().st_size == 0:
        raise DatabaseError(f"{path}: is empty, and holds no catalog yet; make it with: catalogdb scan ROOT")
