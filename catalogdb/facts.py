"""The user's own facts: how tags and aliases are written, and what is done with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from catalogdb.errors import NotFound, UsageError
from catalogdb.records import Facts, FactsReport
from catalogdb.store import Store

ALIAS = re.compile(r"\w[\w.:/+-]*")
LONGEST = 250
"""Of a tag's key and of an alias, in characters."""


def change_tags(store: Store, checkpoint_id: int, changes: Sequence[str]) -> None:
    """``+a`` or ``a`` puts a tag on, ``+key=value`` one with a value, ``-a`` takes one off; the last word wins."""
    put: dict[str, str | None] = {}
    take: set[str] = set()
    for change in changes:
        adds, key, value = _read_change(change)
        take.discard(key)
        put.pop(key, None)
        if adds:
            put[key] = value
        else:
            take.add(key)
    with store.facts_book() as book:
        book.change_tags(checkpoint_id, put, take)


def write_note(store: Store, checkpoint_id: int, text: str | None) -> None:
    """None, and a text of blanks alone, take the note away."""
    if text is not None:
        _check_text(text, "a note")
    with store.facts_book() as book:
        book.write_note(checkpoint_id, text if text and text.strip() else None)


def name(store: Store, checkpoint_id: int, alias: str) -> None:
    """``production`` and ``@production`` are the same alias."""
    alias = _read_alias(alias)
    with store.facts_book() as book:
        book.name(checkpoint_id, alias)


def unname(store: Store, alias: str) -> None:
    alias = _read_alias(alias)
    with store.facts_book() as book:
        if not book.unname(alias):
            raise NotFound(f"@{alias}: no checkpoint has this alias")


def take_in(store: Store, records: Iterable[Facts]) -> FactsReport:
    """Checks all records before the first one is written. Raises UsageError, which names the record and the field."""
    checked = list(records)
    for record in checked:
        try:
            for key, value in record.tags.items():
                _check_key(key)
                _check_text(value or "", f"the tag {key}")
            for alias in record.aliases:
                _read_alias(alias)
            _check_text(record.note or "", "a note")
        except UsageError as error:
            raise UsageError(f"{record.path}: {error}") from error
    with store.facts_book() as book:
        return book.take_in(checked)


def _read_change(change: str) -> tuple[bool, str, str | None]:
    adds = not change.startswith("-")
    key, equals, value = change.removeprefix("+" if change.startswith("+") else "-").partition("=")
    _check_key(key)
    if equals and not adds:
        raise UsageError(f"{change}: a tag is taken off by its name alone; write -{key}")
    _check_text(value, f"the tag {key}")
    return adds, key, value if equals else None


def _check_key(key: str) -> None:
    if not key or key != key.strip() or not key.isprintable() or "=" in key:
        raise UsageError(f"{key!r} can't be a tag's name; write +good, or +stage=prod")
    if len(key) > LONGEST:
        raise UsageError(f"{key[:40]}…: a tag's name has at most {LONGEST} characters")


def _check_text(text: str, what: str) -> None:
    if "\0" in text or not _encodable(text):
        raise UsageError(f"{what} holds what isn't text: a NUL, or bytes that aren't UTF-8")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_alias(written: str) -> str:
    alias = written.removeprefix("@")
    if not ALIAS.fullmatch(alias) or len(alias) > LONGEST:
        raise UsageError(
            f"{written!r} can't be an alias; it begins with a letter or digit, and holds those and . : / + - _"
        )
    return alias
