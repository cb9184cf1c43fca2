"""The framing of a ``.wandb`` file, whole, cut anywhere, damaged anywhere."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogdb.resolve.wandb.record_log import FILE_HEADER, NotARecordLog, check_header, iter_records
from tests.wandb_log import BLOCK, HEADER, framed

RECORDS = [b"a", b"", b"b" * 100, b"c" * (BLOCK - 200), b"d" * 90, b"e" * (3 * BLOCK), b"f"]


def read(log: bytes, start: int = len(FILE_HEADER)) -> list[tuple[bytes, int]]:
    return list(iter_records(io.BytesIO(log), start, len(log)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 2 * BLOCK + 50), max_size=12))
def test_what_is_written_is_read(sizes: list[int]) -> None:
    records = [bytes((index % 251,)) * size for index, size in enumerate(sizes)]
    assert [data for data, _ in read(framed(records))] == records


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(framed(RECORDS))))
def test_a_torn_tail_hides_only_what_was_cut(length: int) -> None:
    log = framed(RECORDS)
    found = read(log[:length])
    assert [data for data, _ in found] == RECORDS[: len(found)]
    if length < len(HEADER):
        return
    read_to = found[-1][1] if found else len(HEADER)
    rest = read(log, read_to)
    assert [data for data, _ in found + rest] == RECORDS, "when it has grown, the reading goes on where it was left"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(len(HEADER), len(framed(RECORDS)) - 1), st.integers(1, 255))
def test_a_damaged_byte_never_makes_a_record_up(place: int, change: int) -> None:
    log = bytearray(framed(RECORDS))
    log[place] ^= change
    assert {data for data, _ in read(bytes(log))} <= set(RECORDS)


@pytest.mark.parametrize("length", range(len(HEADER)))
def test_a_header_that_is_still_being_written(length: int) -> None:
    assert not check_header(io.BytesIO(HEADER[:length]))


def test_the_header() -> None:
    assert check_header(io.BytesIO(HEADER))
    with pytest.raises(NotARecordLog, match="version 0"):
        check_header(io.BytesIO(HEADER[:-1] + b"\x01"))
    with pytest.raises(NotARecordLog):
        check_header(io.BytesIO(b"PK\x03\x04"))
