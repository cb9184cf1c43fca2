"""Regular expressions for SQLite's REGEXP, within bounds: Python's ``re`` can't be interrupted."""

from __future__ import annotations

import re
import time
import warnings
from functools import lru_cache
from typing import Any

from catalogdb.errors import QueryError

MAX_PATTERN = 1000
MAX_SUBJECT = 2000
SECONDS = 5.0


class Regex:
    """SQLite's REGEXP: ``re.search`` in the first 2000 characters, for at most five seconds a statement.

    ``error`` is what was raised inside SQLite, which hides it.
    """

    def __init__(self) -> None:
        self.error: QueryError | None = None
        self._deadline = 0.0

    def restart(self) -> None:
        self.error = None
        self._deadline = time.monotonic() + SECONDS

    def __call__(self, pattern: Any, value: Any) -> bool | None:
        if pattern is None or value is None:
            return None
        if time.monotonic() > self._deadline:
            self.error = QueryError(f"the regular expression {pattern!r} takes too long")
            raise self.error
        compiled = _compiled(str(pattern))
        if isinstance(compiled, str):
            self.error = QueryError(compiled)
            raise self.error
        return compiled.search(str(value)[:MAX_SUBJECT]) is not None


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
    isn't accepted: ``(a+)+``, ``(.*x)*``, ``(a|ab)*``.
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
_BOUNDED = re.compile(r"\{(\d+)(?:,(\d+))?\}|\{,(\d+)\}")


def _repeats_repetition(pattern: str) -> bool:
    """Whether a group that repeats holds a repetition or alternatives."""
    tokens = _TOKEN.findall(pattern)
    open_groups: list[bool] = []
    holds = False
    for position, token in enumerate(tokens):
        if token == "(":
            open_groups.append(holds)
            holds = False
        elif token == ")":
            following = tokens[position + 1] if position + 1 < len(tokens) else ""
            if holds and _repeats(following):
                return True
            holds = (open_groups.pop() if open_groups else False) or holds or _repeats(following)
        elif token == "|":
            holds = holds or bool(open_groups)
        elif _repeats(token):
            holds = True
    return False


def _repeats(token: str) -> bool:
    """Whether a quantifier may match its piece many times: ``?``, ``{3}`` and ``{0,9}`` are harmless."""
    if token in ("*", "+"):
        return True
    if not token.startswith("{") or len(token) < 3:
        return False
    bounded = _BOUNDED.fullmatch(token)
    return bounded is None or max(int(number) for number in bounded.groups() if number) > 9
