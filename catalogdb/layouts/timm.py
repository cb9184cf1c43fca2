"""timm's ``train.py``: ``checkpoint-<epoch>.pth.tar``, ``last``, ``model_best``, ``summary.csv`` and ``args.yaml``.

(``timm/utils/checkpoint_saver.py``, ``timm/utils/summary.py``). Epochs begin with 0 everywhere, since version 2 of the
checkpoints. ``recovery-<epoch>-<batch>`` is written within an epoch: the row of that epoch comes later, and isn't its.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from catalogdb.layouts.base import Dependency, Guide, Habits, Listing, Monitor, Position, Seen, of_a_loop
from catalogdb.layouts.names import number_in

SUMMARY = "summary.csv"
EPOCH = re.compile(r"checkpoint-(\d{1,9})")
RECOVERY = "recovery-"


class Timm(Habits):
    name = "timm"
    guide = Guide(
        "timm",
        "`checkpoint-<epoch>.pth.tar`, `last.pth.tar`, `model_best.pth.tar`, `recovery-<epoch>-<batch>.pth.tar`",
        "the file; `summary.csv` at the epoch; `args.yaml`",
        "0",
    )
    marks = frozenset({SUMMARY})
    tells = marks
    frameworks = frozenset({"timm"})

    def depends(self, folder: Listing) -> Iterator[Dependency]:
        if SUMMARY in folder.files:
            yield Dependency("metrics", folder, SUMMARY)
            if "args.yaml" in folder.files:
                yield Dependency("params", folder, "args.yaml")

    def position(self, seen: Seen) -> Position:
        stated = seen.header.epoch
        if seen.header.framework is None and stated is not None:
            return of_a_loop(seen)
        epoch = stated if stated is not None else number_in(EPOCH, seen.name)
        whole = not seen.name.startswith(RECOVERY)
        return Position(epoch, seen.header.global_step, row_epoch=epoch if whole else None)

    def monitor(self, seen: Seen) -> Monitor | None:
        """``decreasing_metric = eval_metric == 'loss'`` (``train.py``)."""
        stated = seen.header.hyper_parameters
        name = stated.get("eval_metric")
        if not isinstance(name, str) or not name or not stated.get("val_split", True):
            return None
        return Monitor(f"eval_{name}", "min" if name == "loss" else "max", "args.eval_metric")
