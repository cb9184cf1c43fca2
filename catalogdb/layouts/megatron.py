"""Megatron: ``iter_0000500/mp_rank_00/model_optim_rng.pt``, or torch's distributed form in ``iter_0000500/``.

``latest_checkpointed_iteration.txt`` holds the newest iteration, or ``release``
(``megatron/training/checkpointing.py``, ``get_checkpoint_name``, ``get_checkpoint_tracker_filename``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from catalogdb.layouts.base import Dependency, Guide, Habits, Listing, Position, Seen
from catalogdb.layouts.names import IS_LAST, NOTHING, Claim

LATEST = "latest_checkpointed_iteration.txt"
FOLDER = re.compile(r"iter_(\d{7,12})")


class Megatron(Habits):
    name = "megatron"
    guide = Guide(
        "Megatron",
        "`iter_0000500/` with `mp_rank_00/model_optim_rng.pt`, or with `*.distcp`",
        "the first rank's file, or `common.pt`; `latest_checkpointed_iteration.txt`",
        "none; the iterations that are done",
    )
    marks = frozenset({LATEST})
    tells = marks
    frameworks = frozenset({"megatron"})

    def depends(self, folder: Listing) -> Iterator[Dependency]:
        place: Listing | None = folder
        for _ in range(3):
            if place is not None and LATEST in place.files:
                yield Dependency("state", place, LATEST)
                return
            place = place.parent if place is not None else None

    def position(self, seen: Seen) -> Position:
        step = seen.header.global_step if seen.header.global_step is not None else _iteration(seen)
        return Position(None, step, row=step)

    def claims(self, seen: Seen) -> frozenset[Claim]:
        latest = seen.texts.get(LATEST, "").strip()
        return IS_LAST if latest.isdecimal() and int(latest) == self.position(seen).global_step else NOTHING


def _iteration(seen: Seen) -> int | None:
    for name in (seen.name, *seen.above):
        found = FOLDER.fullmatch(name)
        if found is not None:
            return int(found[1])
    return None
