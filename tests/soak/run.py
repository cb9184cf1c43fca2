"""A soak and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hypothesis.stateful import run_state_machine_as_test

from tests.soak.disk import SETTINGS, Disk
from tests.soak.stage import Held, Stage

MEGABYTES = 20.0
"""How much memory may grow after the warm-up."""

WARM_UP_SHARE = 0.4
"""The first of the measures of the process that lives to the end, in shares of the soak's time."""


@dataclass(frozen=True)
class Outcome:
    """``warm`` and ``last`` are of one process."""

    seconds: float
    operations: Counter[str]
    checks: int
    warm: Held
    last: Held
    peak_megabytes: float
    measures: int


def soak(folder: Path, seconds: float) -> Outcome:
    """Raises AssertionError at the first difference, and where something piles up."""
    Disk.stage = stage = Stage(folder, seconds)
    try:
        while not stage.is_over:
            run_state_machine_as_test(Disk, settings=SETTINGS)
        stage.check()
        stage.measure()
        later = [held for at, held in stage.measures if at >= WARM_UP_SHARE * seconds]
        outcome = Outcome(
            stage.elapsed,
            stage.operations,
            stage.checks,
            later[0],
            later[-1],
            max(held.megabytes for held in later),
            len(later),
        )
    except BaseException:
        stage.close()
        raise
    stage.end()
    grown = outcome.last.megabytes - outcome.warm.megabytes
    assert grown <= MEGABYTES, f"{grown:.1f} MB more after {outcome.measures} measures"
    assert outcome.last[1:] == outcome.warm[1:], f"held at the end: {outcome.last}, before: {outcome.warm}"
    return outcome
