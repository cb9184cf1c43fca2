"""Times in filters. Without an offset they are UTC, as the catalog shows them: a filter means the same anywhere."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from catalogdb.timestamps import parse_timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DATE_WITH_OFFSET = re.compile(r"([0-9-]+[0-9])([+-][0-9]{2}:?[0-9]{2}|[Zz])")
AGE = re.compile(r"-[0-9]+[smhdw]")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
YEARS = range(1900, 2200)
"""Numbers that are meant as years, which a time isn't compared with: 2026 seconds after 1970 is nobody's question."""
MILLISECONDS_FROM = 100_000_000_000
"""Numbers from here on are milliseconds since 1970, as MLflow writes times; smaller ones are seconds (until 5138)."""


def parse_moment(text: str) -> datetime:
    """An ISO 8601 date or time, aware. Raises ValueError for what is none."""
    written = text.strip()
    date_with_offset = _DATE_WITH_OFFSET.fullmatch(written)
    if date_with_offset:
        written = f"{date_with_offset[1]}T00:00{date_with_offset[2]}"
    moment = parse_timestamp(written)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def parse_age(text: str) -> timedelta:
    """``-3w``, back from now. Raises OverflowError for one that no calendar holds."""
    return timedelta(**{_UNITS[text[-1]]: int(text[1:-1])})


def moment_of(value: int | float | str | datetime | timedelta, now: datetime) -> datetime:
    """What a filter's value says as a time. Raises ValueError or OverflowError for what is none."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, timedelta):
        return now - value
    if isinstance(value, str):
        return now - parse_age(value) if AGE.fullmatch(value) else parse_moment(value)
    if isinstance(value, int) and value in YEARS:
        raise ValueError(f"{value} is a year")
    return EPOCH + timedelta(seconds=value / 1000 if abs(value) >= MILLISECONDS_FROM else value)


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def iso_utc(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")
