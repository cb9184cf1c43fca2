"""What a plain (unquoted) scalar means: YAML 1.1 as PyYAML has it, with the numbers of YAML 1.2."""

from __future__ import annotations

import re

MAX_DIGITS = 1000
"""A longer number is text: Python refuses integers of more than 4300 digits."""

_CONSTANTS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
    **{f"{sign}.{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGERS = (
    (10, re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")),
    (2, re.compile(r"[-+]?0b_*[01][01_]*")),
    (16, re.compile(r"[-+]?0x_*[0-9a-fA-F][0-9a-fA-F_]*")),
    (8, re.compile(r"[-+]?0[0-7_]+")),
)
_EXPONENT = r"[eE][-+]?[0-9]+"
_FLOAT = re.compile(rf"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*(?:{_EXPONENT})?|{_EXPONENT})|\.[0-9][0-9_]*(?:{_EXPONENT})?)")


def resolve_scalar(text: str) -> bool | int | float | str | None:
    """The value of a plain (unquoted) scalar."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "0123456789+-." or len(text) > MAX_DIGITS:
        return text
    for base, form in _INTEGERS:
        if form.fullmatch(text):
            return int(text.replace("_", ""), base)
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return text
