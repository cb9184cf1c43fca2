"""History rows that are asked for together with their runs, where the runs before have shown which these may be.

The runs of a sweep save their checkpoints at the same steps. Which W&B step that is only a run itself can say; but
where it is the one that the others had, its row is there already, and a question is saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from catalogdb.resolve.wandb.rows import MANY, history, take_row

MAX_STEPS = 4


class LikelySteps:
    """Of one project. What another thread learns meanwhile counts for the next question."""

    def __init__(self) -> None:
        self._steps: tuple[int, ...] = ()

    def learn(self, needed: Collection[Collection[int]]) -> None:
        """What each of some runs needed: likely is what at least half of them did."""
        runs = Counter(step for steps in needed for step in steps)
        enough = max(MANY, len(needed) / 2)
        self._steps = tuple(step for step, count in runs.most_common(MAX_STEPS) if count >= enough)

    def now(self) -> tuple[int, ...]:
        return self._steps


def fields_of(steps: Collection[int]) -> str:
    """Fields of a run, its rows at these steps."""
    return " ".join(f"likely{step}: {history(step)}" for step in steps)


def rows_in(node: Mapping[str, Any], steps: Collection[int]) -> dict[int, Mapping[str, Any]]:
    """The rows of a run that was asked for with these fields, as far as it has them, by step."""
    rows: dict[int, Mapping[str, Any]] = {}
    for step in steps:
        row = take_row(node.get(f"likely{step}"), step)
        if row is not None:
            rows[step] = row
    return rows
