"""Detectron2: ``model_0004999.pth``, ``model_final.pth``, with ``metrics.json``, ``config.yaml``, ``last_checkpoint``.

Numbers are 0-based indexes of iterations, and ``metrics.json`` has the same; losses in it are medians of 20 iterations
(``fvcore/common/checkpoint.py``, ``PeriodicCheckpointer``; ``detectron2/utils/events.py``, ``JSONWriter``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from catalogdb.layouts.base import Dependency, Guide, Habits, Listing, Position, Seen
from catalogdb.layouts.names import IS_LAST, NOTHING, Claim, claims_of, number_in

METRICS = "metrics.json"
LAST = "last_checkpoint"
ITERATION = re.compile(r"model_(\d{7,12})")


class Detectron2(Habits):
    name = "detectron2"
    guide = Guide(
        "Detectron2",
        "`model_0004999.pth`, `model_final.pth`, `model_best.pth`",
        "the file; `metrics.json` at the iteration; `config.yaml`; `last_checkpoint`",
        "none; iterations begin with 0",
    )
    marks = frozenset({METRICS})
    tells = frozenset({METRICS})
    frameworks = frozenset({"fvcore"})

    def depends(self, folder: Listing) -> Iterator[Dependency]:
        if METRICS in folder.files:
            yield Dependency("metrics", folder, METRICS)
            if LAST in folder.files:
                yield Dependency("state", folder, LAST)

    def position(self, seen: Seen) -> Position:
        stated = seen.header.global_step
        step = stated if stated is not None else number_in(ITERATION, seen.name)
        return Position(None, step, row=step)

    def claims(self, seen: Seen) -> frozenset[Claim]:
        last = seen.texts.get(LAST, "").strip().rpartition("/")[2] == seen.own_name
        return claims_of(seen.own_name) | (IS_LAST if last else NOTHING)
