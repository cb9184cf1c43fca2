"""Regular expressions for SQLite's REGEXP, within bounds: Python's ``re`` can't be interrupted."""

from __future__ import annotations

import math
import re
import time
import warnings
from functools import lru_cache
from typing import Any

from catalogdb.errors import QueryError

MAX_PATTERN = 1000
MAX_SUBJECT = 2000
SECONDS = 5.0

MANY = 2
"""Choices in a group that make its repetition exponential."""
FEW = 3
"""Repetitions of a group that are harmless whatever is in it: ``([0-9]+[.]){3}``."""


class Regex:
    """SQLite's REGEXP: ``re.search`` in the first 2000 characters, for at most five seconds of matching a statement.

    ``error`` is what was raised inside SQLite, which hides it.
    """

    def __init__(self) -> None:
        self.error: QueryError | None = None
        self._left = 0.0

    def restart(self) -> None:
        self.error = None
        self._left = SECONDS

    def __call__(self, pattern: Any, value: Any) -> bool | None:
        if pattern is None or value is None:
            return None
        if self._left <= 0:
            self.error = QueryError(f"the regular expression {pattern!r} takes too long")
            raise self.error
        compiled = _compiled(str(pattern))
        if isinstance(compiled, str):
            self.error = QueryError(compiled)
            raise self.error
        began = time.monotonic()
        found = compiled.search(str(value)[:MAX_SUBJECT]) is not None
        self._left -= time.monotonic() - began
        return found


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str] | str:
    """The compiled expression, or why it can't be used."""
    problem = check_regex(pattern)
    if problem is not None:
        return problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.compile(pattern)


def check_regex(pattern: str) -> str | None:
    """Why a regular expression can't be used; None where it can.

    Python's ``re`` can't be interrupted, so a repetition inside a repetition, the shape that takes exponential time,
    isn't accepted: ``(a+)+``, ``(.*x)*``, ``(a|ab)*``, ``(a?a?)+``.
    """
    if len(pattern) > MAX_PATTERN:
        return f"a regular expression of {len(pattern)} characters is too long; at most {MAX_PATTERN}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"not a regular expression: {error}"
    if _repeats_repetition(pattern):
        return "a repetition inside a repetition may take for ever; write it without"
    if re.search(r"\(\?P=|\\[1-9]", pattern):
        return "back-references may take for ever; write it without"
    return None


_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|.", re.DOTALL)
_EXACT = re.compile(r"\{\d+\}")
_BOUNDED = re.compile(r"\{(\d+)(?:,(\d+))?\}|\{,(\d+)\}")


def _repeats_repetition(pattern: str) -> bool:
    """Whether a group that repeats holds a repetition, alternatives, or two pieces that may be left out."""
    tokens = _TOKEN.findall(pattern)
    above: list[int] = []
    choices = 0
    for position, token in enumerate(tokens):
        following = tokens[position + 1] if position + 1 < len(tokens) else ""
        if token == "(":
            above.append(choices)
            choices = 0
        elif token == ")":
            if choices >= MANY and _most(following) > FEW:
                return True
            choices += (above.pop() if above else 0) + (MANY if _most(following) > FEW else 0)
        elif token == "|":
            choices += MANY if above else 0
        elif token == "?":
            choices += 0 if position and tokens[position - 1] == "(" else 1
        elif _most(token) > 1:
            choices += 0 if _EXACT.fullmatch(token) else MANY
    return False


def _most(quantifier: str) -> float:
    """How many times it has its piece match at most; 0 for what is no quantifier."""
    if quantifier in ("*", "+"):
        return math.inf
    if not quantifier.startswith("{") or len(quantifier) < 3:
        return 0
    bounded = _BOUNDED.fullmatch(quantifier)
    return math.inf if bounded is None else max(int(number) for number in bounded.groups() if number)
