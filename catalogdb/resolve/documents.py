"""Reads the documents that tiers depend on, each file once for all the checkpoints it serves."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from catalogdb.documents import read_document, read_lines
from catalogdb.errors import MetadataError, ResolverError
from catalogdb.records import Source, Tier

T = TypeVar("T")


def read_source(tier: Tier, source: Source) -> dict[str, object]:
    """The document, or ResolverError; retryable where the disk, not the text, was at fault."""
    return _read(tier, source, read_document)


def read_list(tier: Tier, source: Source) -> list[str]:
    """The same for a list of texts."""
    return _read(tier, source, read_lines)


def _read(tier: Tier, source: Source, read: Callable[[str], T]) -> T:
    try:
        return read(source.path)
    except MetadataError as error:
        raise ResolverError(tier, source.path, error.reason) from error
    except OSError as error:
        reason = f"can't be read: {error.strerror or error}"
        raise ResolverError(tier, source.path, reason, retryable=True) from error


class PerSource(Generic[T]):
    """A bounded memory of what was made of a document: the walk goes by folder, so the last few serve most.

    What can't be made is remembered as well, so that a broken config is read once, not once per checkpoint; what the
    disk didn't give is asked for again.
    """

    def __init__(self, make: Callable[[Source], T], *, keep: int = 256) -> None:
        self._make = make
        self._keep = keep
        self._made: OrderedDict[Source, T | ResolverError] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, source: Source) -> T:
        """What ``make`` returned, or the ResolverError it raised."""
        with self._lock:
            made = self._made.get(source)
        if made is None:
            try:
                made = self._make(source)
            except ResolverError as error:
                if error.retryable:
                    raise
                made = error
            with self._lock:
                self._made[source] = made
                if len(self._made) > self._keep:
                    self._made.popitem(last=False)
        if isinstance(made, ResolverError):
            raise made
        return made
