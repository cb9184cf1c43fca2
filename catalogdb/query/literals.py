"""Numbers and quoted things of a filter's text → what they stand for."""

from __future__ import annotations


def number(text: str) -> int | float:
    """An int where it is written as one and SQLite can hold it."""
    if text.lstrip("+-").isdigit() and len(text) < 20:
        value = int(text)
        if -(2**63) < value < 2**63:
            return value
    return float(text)


def unquoted(text: str) -> str:
    """What stands between two quotes, a doubled one for one."""
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)
