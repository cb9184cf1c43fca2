"""The soak of ``make soak``, for a minute."""

from __future__ import annotations

from pathlib import Path

from tests.soak.run import soak

SECONDS = 60.0


def test_a_minute_of_anything(tmp_path: Path) -> None:
    outcome = soak(tmp_path.resolve(), SECONDS)
    assert outcome.checks >= 5, "a soak that never asks proves nothing"
    assert len(outcome.operations) >= 10, f"hardly anything happened: {outcome.operations}"
