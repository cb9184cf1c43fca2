"""DeepSpeed: ``global_stepN/`` with a file for each rank, and ``latest``, a text that names the newest of them.

(``deepspeed/runtime/engine.py``, ``save_checkpoint``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from catalogdb.layouts.base import Dependency, Guide, Habits, Listing, Position, Seen
from catalogdb.layouts.names import IS_LAST, NOTHING, Claim

LATEST = "latest"
TAG = re.compile(r"global_step(\d{1,12})")


class DeepSpeed(Habits):
    name = "deepspeed"
    guide = Guide("DeepSpeed", "`global_stepN/`, beside `latest`", "the first rank's file; `latest`", "as in the file")
    marks = frozenset({LATEST})
    tells = marks
    frameworks = frozenset({"deepspeed"})

    def depends(self, folder: Listing) -> Iterator[Dependency]:
        if LATEST in folder.files and any(TAG.fullmatch(name) for name in folder.folders):
            yield Dependency("state", folder, LATEST)

    def position(self, seen: Seen) -> Position:
        found = TAG.fullmatch(seen.name)
        step = seen.header.global_step if seen.header.global_step is not None else found and int(found[1])
        return Position(seen.header.epoch, step, row=step, row_epoch=seen.header.epoch)

    def claims(self, seen: Seen) -> frozenset[Claim]:
        return IS_LAST if seen.texts.get(LATEST, "").strip() == seen.own_name else NOTHING
