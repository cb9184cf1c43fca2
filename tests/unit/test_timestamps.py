"""Times as people and programs write them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogdb.timestamps import extended, iso_of_seconds, parse_timestamp


@given(st.datetimes(), st.none() | st.integers(-1439, 1439))
def test_isoformat(moment: datetime, offset: int | None) -> None:
    if offset is not None:
        moment = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    assert parse_timestamp(moment.isoformat()) == moment


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2025-10-18", "2025-10-18T00:00:00"),
        ("20251018T1432", "2025-10-18T14:32:00"),
        ("2025-10-18 14:32:15,5Z", "2025-10-18T14:32:15.500000+00:00"),
        ("2025-10-18T14:32:15.123456789-0330", "2025-10-18T14:32:15.123456-03:30"),
        ("2025-10-18T14:32+02", "2025-10-18T14:32:00+02:00"),
    ],
)
def test_forms(text: str, iso: str) -> None:
    assert parse_timestamp(text).isoformat() == iso


@pytest.mark.parametrize("text", ["", "2025", "18.10.2025", "2025-02-30", "2025-10-18T25:00", "2025-10-18T14:32+99"])
def test_others(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_timestamp(text)


@pytest.mark.parametrize(
    "text",
    [
        "20260131T120000",
        "20260131",
        "2026-01-31T12:00:00+0200",
        "2026-01-31T12:00+02",
        "2026-01-31 12:00:00,5",
        "2026-01-31t12:00z",
        "2026-01-31",
        "2026-01-31T12:00",
        "2026-01-31 12:00:00.123456Z",
        "2026-01-31T12:00:00+00:00",
    ],
)
def test_sqlite_reads_the_extended_form(text: str) -> None:
    with_offset = parse_timestamp(text)
    with_offset = with_offset if with_offset.tzinfo else with_offset.replace(tzinfo=timezone.utc)
    with closing(sqlite3.connect(":memory:")) as connection:
        (days,) = connection.execute("SELECT julianday(?)", (extended(text),)).fetchone()
    assert (days - 2440587.5) * 86400 == pytest.approx(with_offset.timestamp(), abs=0.001)
    assert parse_timestamp(extended(text)) == parse_timestamp(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1_792_333_935.7, "2026-10-18T14:32:15+00:00"), (0, None), (-1, None), (1e15, None), (float("nan"), None)],
)
def test_seconds_since_1970(seconds: float, text: str | None) -> None:
    assert iso_of_seconds(seconds) == text
