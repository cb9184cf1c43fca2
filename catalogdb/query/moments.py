"""Times in filters. Without an offset they are UTC, as the catalog shows them: a filter means the same anywhere."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECONDS_FROM = 100_000_000_000
"""Numbers from here on are milliseconds since 1970, as MLflow writes times; smaller ones are seconds (until 5138)."""


def parse_moment(text: str) -> datetime:
    """An ISO 8601 date or time, aware. Raises ValueError for what is none."""
    iso = re.sub(r"[Zz]$", "+00:00", text.strip())
    iso = re.sub(r"([+-]\d{2})(\d{2})$", r"\1:\2", iso) if "T" in iso or " " in iso else iso
    date_with_offset = re.fullmatch(r"(\d{4}-\d{2}-\d{2})([+-]\d{2}:?\d{2})", iso)
    if date_with_offset:
        iso = f"{date_with_offset[1]}T00:00{date_with_offset[2]}"
    fraction = re.search(r"\.(\d{1,6})", iso)
    if fraction:  # Python 3.10 reads three or six digits only
        iso = iso.replace(fraction[0], f".{fraction[1]:0<6}", 1)
    moment = datetime.fromisoformat(iso)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def moment_of(value: int | float | str | datetime | timedelta, now: datetime) -> datetime:
    """What a filter's value says as a time. Raises ValueError or OverflowError for what is none."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, timedelta):
        return now - value
    if isinstance(value, str):
        return parse_moment(value)
    return EPOCH + timedelta(seconds=value / 1000 if abs(value) >= MILLISECONDS_FROM else value)


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def iso_utc(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")
