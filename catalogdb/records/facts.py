"""What users said about their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from catalogdb.records.checkpoint import json_value
from catalogdb.records.resolution import Problem


@dataclass(frozen=True, slots=True)
class Facts:
    """What a user said about one checkpoint, with what it's known by in another catalog.

    ``path`` is absolute; ``rel_path`` is its place inside its root; ``fingerprint`` is that of its weights, None where
    it isn't known. ``tags`` maps plain tags to None.
    """

    path: str
    rel_path: str | None = None
    fingerprint: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """One line of an export."""
        return {item.name: json_value(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_dict(cls, values: Any) -> Facts:
        """The inverse. Raises ValueError, which names the field and what it should be."""
        if not isinstance(values, Mapping):
            raise ValueError('isn\'t a record; each line is an object such as {"path": …, "tags": {…}}')
        path, tags, aliases = values.get("path"), values.get("tags") or {}, values.get("aliases") or []
        if not isinstance(path, str) or not path.startswith("/"):
            raise ValueError("path: write an absolute path")
        for name in ("rel_path", "fingerprint", "note"):
            if not isinstance(values.get(name), str | None):
                raise ValueError(f"{name}: write a text or null")
        if not isinstance(tags, Mapping) or not all(isinstance(value, str | None) for value in tags.values()):
            raise ValueError("tags: write an object of texts and nulls")
        if not isinstance(aliases, list | tuple) or not all(isinstance(name, str) for name in aliases):
            raise ValueError("aliases: write a list of texts")
        rest = {name: values.get(name) for name in ("rel_path", "fingerprint", "note")}
        return cls(path=path, tags=dict(tags), aliases=tuple(aliases), **rest)


@dataclass(frozen=True, slots=True)
class FactsReport:
    """What an import of facts did: how many records found their checkpoint, and how; ``problems`` tells of the rest.

    A problem's ``path`` is the record's.
    """

    by_path: int
    by_fingerprint: int
    problems: tuple[Problem, ...] = ()
