"""torch's distributed checkpoints: a folder with ``.metadata`` and ``__R_N.distcp``, called by its step.

``step-1000`` is torchtitan's name (``torchtitan/components/checkpoint.py``); others have ``step_1000``, ``iter_1000``.
"""

from __future__ import annotations

import re

from catalogdb.layouts.base import Guide, Habits, Position, Seen

STEP = re.compile(r"(?:global_)?(?:step|iter)[-_]?(\d{1,12})")


class TorchDistributed(Habits):
    name = "torch_distributed"
    guide = Guide(
        "torch distributed (DCP, FSDP)",
        "`step-1000/` with `.metadata` and `*.distcp`, also below Lightning's `x.ckpt/`",
        "`.metadata`, `meta.pt`; the folder's name",
        "as in the file",
    )
    frameworks = frozenset({"torch_dcp"})

    def position(self, seen: Seen) -> Position:
        found = STEP.fullmatch(seen.name)
        step = seen.header.global_step if seen.header.global_step is not None else found and int(found[1])
        return Position(seen.header.epoch, step, row=step, row_epoch=seen.header.epoch, whole=False)
