"""A short, seeded round of what ``make fuzz`` does at length: every target, its seeds changed a little."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import NAMES
from tests.fuzz.seeds import seeds_of
from tests.fuzz.targets import TARGETS, run_timed

EDITS = st.lists(
    st.tuples(
        st.sampled_from(("set", "insert", "delete", "copy", "cut")),
        st.integers(0, 2**16),
        st.integers(0, 255),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=8,
)


def edited(content: bytes, edits: list[tuple[str, int, int, int]]) -> bytes:
    found = bytearray(content)
    for kind, place, value, count in edits:
        at = place % (len(found) + 1)
        if kind == "set" and at < len(found):
            found[at] = value
        elif kind == "insert":
            found[at:at] = bytes((value,)) * count
        elif kind == "delete":
            del found[at : at + count]
        elif kind == "copy":
            other = value * len(found) // 256
            found[at:at] = found[other : other + count]
        elif kind == "cut":
            del found[max(at, 8) :]
    return bytes(found)


@pytest.mark.parametrize("name", TARGETS)
@settings(derandomize=True, max_examples=120, deadline=None)
@given(edits=EDITS, choice=st.integers(0, 99))
def test_a_short_round(name: str, edits: list[tuple[str, int, int, int]], choice: int) -> None:
    seeds = seeds_of(name)
    run_timed(TARGETS[name], edited(seeds[choice % len(seeds)], edits))


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_pass(name: str) -> None:
    for content in seeds_of(name):
        run_timed(TARGETS[name], content)


def test_the_command_knows_every_target() -> None:
    assert set(NAMES) == TARGETS.keys()
