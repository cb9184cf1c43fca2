"""ISO 8601, read alike in every Python, and written so that SQLite reads it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_TIMESTAMP = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)"
    r"(?:[Tt ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?(?:([Zz])|([+-])(\d\d):?(\d\d)?)?)?",
    re.ASCII,
)

_AS_WRITTEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?(?:[+-]\d\d:\d\d)?", re.ASCII)
"""What ``datetime.isoformat`` writes, and every Python reads back."""


def parse_timestamp(text: str) -> datetime:
    """An ISO 8601 date or time, with or without offset. Raises ValueError."""
    if _AS_WRITTEN.fullmatch(text):
        return datetime.fromisoformat(text)
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"not an ISO 8601 time: {text!r}")
    year, month, day, hour, minute, second, fraction, zulu, sign, hours, minutes = match.groups(default="0")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    zone = timezone(-offset if sign == "-" else offset) if zulu != "0" or sign != "0" else None
    micros = int(f"{fraction:0<6}"[:6])
    return datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), micros, zone)


_SECONDS_UNTIL_3058 = 2**35

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def iso(moment: datetime) -> str:
    """An aware moment to the second, in UTC: such texts compare as the moments do."""
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")


def iso_of_seconds(seconds: float) -> str | None:
    """Seconds since 1970, as W&B has them, to the second in UTC; None for what is no time of a training."""
    return iso(datetime.fromtimestamp(seconds, timezone.utc)) if 0 < seconds < _SECONDS_UNTIL_3058 else None


def iso_of_ns(nanoseconds: int) -> str:
    """Nanoseconds since 1970, as files have them, to the microsecond below, in UTC: so a row has its file's time."""
    return (_EPOCH + timedelta(microseconds=nanoseconds // 1000)).isoformat()


_READ_BY_SQLITE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
"""https://sqlite.org/lang_datefunc.html, section 2."""


def extended(text: str) -> str:
    """A time that ``parse_timestamp`` reads: as it is where SQLite's date functions read it too, else in ISO's extended
    form."""
    return text if _READ_BY_SQLITE.fullmatch(text) else parse_timestamp(text).isoformat()
