"""Ultralytics: ``runs/<task>/<name>/weights/{best,last,epochN}.pt``, with ``results.csv`` and ``args.yaml`` above.

Files count epochs from 0, ``results.csv`` from 1. When training has ended, best and last are rewritten without their
epoch: what they state of their own metrics stays (``ultralytics/engine/trainer.py``, ``…/utils/torch_utils.py``,
``strip_optimizer``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from catalogdb.layouts.base import (
    Dependency,
    Guide,
    Habits,
    Listing,
    Monitor,
    Position,
    Seen,
    of_a_loop,
    run_of,
)
from catalogdb.layouts.names import number_in

RESULTS = "results.csv"
FITNESS = "fitness"
"""A sum of its metrics, by which it chooses the best."""

EPOCH = re.compile(r"epoch(\d{1,9})")


class Ultralytics(Habits):
    name = "ultralytics"
    guide = Guide(
        "Ultralytics",
        "`runs/<task>/<name>/weights/{best,last,epochN}.pt`",
        "the file; `results.csv` at the epoch; `args.yaml`",
        "0 in files and names, 1 in `results.csv`",
    )
    marks = frozenset({RESULTS})
    tells = marks
    frameworks = frozenset({"ultralytics"})

    def depends(self, folder: Listing) -> Iterator[Dependency]:
        run = run_of(folder)
        if RESULTS in run.files:
            yield Dependency("metrics", run, RESULTS)
            if "args.yaml" in run.files:
                yield Dependency("params", run, "args.yaml")

    def position(self, seen: Seen) -> Position:
        """YOLOv5's files state no framework, and its epochs begin with 0 everywhere; so do loops of one's own."""
        stated = seen.header.epoch
        if seen.header.framework is None and stated is not None:
            return of_a_loop(seen)
        epoch = stated if stated is not None else number_in(EPOCH, seen.name)
        return Position(epoch, None, row_epoch=epoch)

    def monitor(self, seen: Seen) -> Monitor | None:
        return Monitor(FITNESS, "max", f"train_metrics.{FITNESS}") if FITNESS in seen.header.metrics else None
