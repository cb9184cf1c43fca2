"""MMEngine: ``work_dirs/<config>/epoch_12.pth``, ``iter_90000.pth``, ``best_<metric>_epoch_9.pth``.

A save by epochs states the number of epochs done, so that ``epoch_12`` is epoch 11; one by iterations states the epoch
that is going on (``mmengine/runner/runner.py``, ``save_checkpoint``; ``mmengine/hooks/checkpoint_hook.py``). Only the
name tells which of the two it was. Each start of a training logs into a folder called by its time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from catalogdb.layouts.base import Dependency, Guide, Habits, Listing, Monitor, Position, Seen
from catalogdb.layouts.names import IS_LAST, NOTHING, Claim, claims_of, stem_of

LAST = "last_checkpoint"
SCALARS = "scalars.json"
STARTED = re.compile(r"\d{8}_\d{6}")
SAVED = re.compile(r"(?:best_.+_)?(epoch|iter)_(\d{1,12})")
CHOSEN = re.compile(r"best_(.+)_(?:epoch|iter)_\d{1,12}")
MAX_STARTS = 16


class Mmengine(Habits):
    name = "mmengine"
    guide = Guide(
        "MMEngine",
        "`epoch_12.pth`, `iter_90000.pth`, `best_<metric>_epoch_9.pth`",
        "the file; `<time>/vis_data/scalars.json` at the iteration or the epoch; `last_checkpoint`",
        "1: `epoch_12` is epoch 11",
    )
    marks = frozenset({LAST, "vis_data"})
    tells = frozenset({SCALARS})
    frameworks = frozenset({"mmengine", "mmcv"})

    def depends(self, folder: Listing) -> Iterator[Dependency]:
        if LAST not in folder.files:
            return
        yield Dependency("state", folder, LAST)
        for name in sorted(filter(STARTED.fullmatch, folder.folders))[-MAX_STARTS:]:
            start = folder.inside(name)
            shown = start.inside("vis_data") if start is not None and "vis_data" in start.folders else None
            if shown is not None and SCALARS in shown.files:
                yield Dependency("metrics", shown, SCALARS)

    def position(self, seen: Seen) -> Position:
        header = seen.header
        saved = SAVED.fullmatch(stem_of(seen.name))
        if saved is None or saved[1] == "iter":
            step = header.global_step if header.global_step is not None or saved is None else int(saved[2])
            return Position(None, step, stated_epoch=header.epoch, key="meta.epoch", row=step)
        done = header.epoch if header.epoch is not None else int(saved[2])
        epoch = done - 1 if done > 0 else None
        return Position(epoch, header.global_step, done, "meta.epoch", header.global_step, epoch)

    def monitor(self, seen: Seen) -> Monitor | None:
        """The name has ``_`` for the metric's ``/``."""
        found = CHOSEN.fullmatch(stem_of(seen.name))
        return Monitor(found[1], None, "file name") if found is not None else None

    def claims(self, seen: Seen) -> frozenset[Claim]:
        last = seen.texts.get(LAST, "").strip().replace("\\", "/").rpartition("/")[2] == seen.own_name
        return claims_of(seen.own_name) | (IS_LAST if last else NOTHING)
