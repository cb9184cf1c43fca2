"""Text in a pickle: what it may take in memory, and Python 2's escapes."""

from __future__ import annotations

import re

WIDEST = 4
"""Bytes of a character in memory where a text has one beyond 16 bits; of ASCII, one."""


def text_cost(raw: bytes) -> int:
    """What UTF-8 may take once it is text."""
    return len(raw) if raw.isascii() else WIDEST * len(raw)


_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|(.))", re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


def _letter(found: re.Match[bytes]) -> bytes:
    in_hex, in_octal, letter = found.groups()
    if in_hex is not None:
        return bytes.fromhex(in_hex.decode("ascii"))
    if in_octal is not None:
        return bytes((int(in_octal, 8) & 0xFF,))
    return _LETTERS.get(letter, letter)


def unescape(raw: bytes) -> str:
    """What a Python 2 str literal stands for, as Latin-1."""
    return _ESCAPE.sub(_letter, raw).decode("latin-1")
