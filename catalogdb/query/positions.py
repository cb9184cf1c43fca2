"""Where a page ended, as a token that the next one starts from: the last row's own values, no number of rows.

Rows that come or go between two pages shift nothing: none is given twice, none is passed over.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from catalogdb.errors import UsageError

DIGITS = 16


class Position(NamedTuple):
    """A row's values of the ordering, and the time that ages in the filter are counted from."""

    values: tuple[Any, ...]
    now: datetime


class Asked(Protocol):
    """The part of a question that a token belongs to."""

    @property
    def where(self) -> str: ...
    @property
    def filters(self) -> Any: ...
    @property
    def order_by(self) -> tuple[str, ...]: ...


def make_token(position: Position, question: Asked) -> str:
    said = json.dumps([position.now.isoformat(), *position.values])
    text = _digest(question, said) + said
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def read_token(token: str | None, question: Asked) -> Position | None:
    """The position of a token; None for none. Raises UsageError for one that is none, or another question's."""
    if token is None:
        return None
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("utf-8", "surrogatepass")
        digest, said = text[:DIGITS], text[DIGITS:]
        now, *values = json.loads(said)
        moment = datetime.fromisoformat(now)
    except (ValueError, TypeError, binascii.Error):
        raise UsageError("page_token: not one that a page gave") from None
    if digest != _digest(question, said):
        raise UsageError("page_token: belongs to a page of another filter or ordering")
    return Position(tuple(values), moment)


def _digest(question: Asked, said: str) -> str:
    asked = repr((question.where, question.filters, question.order_by, said))
    return blake2b(asked.encode("utf-8", "surrogatepass"), digest_size=DIGITS // 2).hexdigest()
