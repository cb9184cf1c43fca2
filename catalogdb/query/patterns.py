"""LIKE patterns, made safe to hand to SQLite."""

from __future__ import annotations

MAX_PATTERN = 1000

_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}


def like_to_glob(pattern: str) -> str:
    """A LIKE pattern as a GLOB one, which SQLite matches case-sensitively whatever a connection's pragmas say."""
    return "".join(_GLOB.get(character, character) for character in pattern)


def check_like(pattern: str) -> str | None:
    """Why a pattern can't be used, in a few words; None where it can."""
    if len(pattern) > MAX_PATTERN:
        return f"a pattern of {len(pattern)} characters is too long; at most {MAX_PATTERN}"
    if pattern.count("%") > 20:
        return "a pattern with more than 20 % is too slow to match"
    return None
