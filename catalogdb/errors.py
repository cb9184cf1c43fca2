"""Everything that catalogdb raises on purpose, and the exit code each ends a command with."""

from __future__ import annotations


class CatalogError(Exception):
    """The root of all errors that catalogdb raises. Its text is one line, ready to be shown to a user."""

    exit_code = 3


class UsageError(CatalogError):
    """What was asked for can't be understood: an option, a setting, a filter."""

    exit_code = 2


class QueryError(UsageError):
    """A filter or an ordering that can't be read.

    ``column`` is the 0-based offset into ``text`` where reading stopped; ``str()`` is several lines: the
    message, then the text with a caret under that column.
    """

    def __init__(self, message: str, *, text: str = "", column: int | None = None) -> None:
        self.message = message
        self.text = text
        self.column = column
        super().__init__(message)

    def __str__(self) -> str:
        if not self.text or self.column is None:
            return self.message
        line = self.text.replace("\n", " ").replace("\t", " ")
        return f"{self.message}\n  {line}\n  {' ' * self.column}^"


class NotFound(CatalogError):
    """No checkpoint matches the path, id or alias that was given."""

    exit_code = 1


class RootError(CatalogError):
    """A root that can't be scanned: it isn't there, isn't a directory, or can't be listed."""


class AlreadyWatched(CatalogError):
    """Another living watcher has the root."""


class DatabaseError(CatalogError):
    """The catalog's file can't be opened, read or written."""


class SchemaOutdated(CatalogError):
    """The catalog was written by an older version and has to be upgraded first."""

    exit_code = 4


class SchemaTooNew(CatalogError):
    """The catalog was written by a newer version, or by another program."""

    exit_code = 4


class MetadataError(CatalogError, ValueError):
    """A document beside a checkpoint (sidecar or config) that can't be used.

    ``path`` is the document, ``field`` the dotted name of the offending field where there is one,
    ``reason`` what is wrong with it, in a few words; ``line``, from 1, is where, as far as the parser tells.
    """

    def __init__(self, path: str, reason: str, *, field: str | None = None, line: int | None = None) -> None:
        self.path = path
        self.field = field
        self.reason = reason
        self.line = line
        super().__init__(f"{path}: {field}: {reason}" if field else f"{path}: {reason}")


class ResolverError(CatalogError):
    """A tier that should have known about a checkpoint, but could not be asked.

    ``retryable`` says whether asking again, with nothing changed on disk, may end differently.
    """

    def __init__(self, tier: str, path: str, reason: str, *, retryable: bool = False) -> None:
        self.tier = tier
        self.path = path
        self.reason = reason
        self.retryable = retryable
        super().__init__(f"{path}: {tier}: {reason}")


class NetworkFilesystemWarning(UserWarning):
    """A catalog on a filesystem where SQLite's locks can't be trusted."""
