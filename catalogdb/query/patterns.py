"""LIKE patterns, made safe to hand to SQLite."""

from __future__ import annotations

import re
import sys

MAX_PATTERN = 1000

_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}


def like_to_glob(pattern: str) -> str:
    """A LIKE pattern as a GLOB one, which SQLite matches case-sensitively whatever a connection's pragmas say."""
    return "".join(_GLOB.get(character, character) for character in pattern)


def literal_prefix(pattern: str) -> str:
    """What all texts begin with that a LIKE pattern matches."""
    return re.split("[%_]", pattern, maxsplit=1)[0]


def after_prefix(prefix: str) -> str | None:
    """A character: with it in place of the last one, a prefix comes after all texts that begin with it, compared byte
    by byte as UTF-8. None where there is no such character."""
    following = ord(prefix[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:
        following = 0xE000
    return chr(following) if following <= sys.maxunicode else None


def check_like(pattern: str) -> str | None:
    """Why a pattern can't be used, in a few words; None where it can."""
    if len(pattern) > MAX_PATTERN:
        return f"a pattern of {len(pattern)} characters is too long; at most {MAX_PATTERN}"
    if pattern.count("%") > 20:
        return "a pattern with more than 20 % is too slow to match"
    return None
