"""fairseq: ``checkpointN.pt``, ``checkpoint_E_U.pt``, ``checkpoint_best.pt``, ``checkpoint.best_<metric>_<value>.pt``.

Epochs begin with 1; best and last are copies (``fairseq/checkpoint_utils.py``, ``save_checkpoint``). It leaves no
metrics file: the value of the chosen metric is in the checkpoint.
"""

from __future__ import annotations

import re

from catalogdb.layouts.base import Guide, Habits, Monitor, Position, Seen
from catalogdb.layouts.names import stem_of
from catalogdb.records import Mode

SAVED = re.compile(r"checkpoint(?:(\d{1,9})|_(\d{1,9})_(\d{1,12}))")

BEST, MAXIMIZE = "best_checkpoint_metric", "maximize_best_checkpoint_metric"


class Fairseq(Habits):
    name = "fairseq"
    guide = Guide(
        "fairseq",
        "`checkpointN.pt`, `checkpoint_E_U.pt`, `checkpoint_best.pt`, `checkpoint_last.pt`, "
        "`checkpoint.best_<metric>_<value>.pt`",
        "the file",
        "1: `checkpoint12` is epoch 11",
    )
    frameworks = frozenset({"fairseq"})

    def position(self, seen: Seen) -> Position:
        header = seen.header
        saved = SAVED.fullmatch(stem_of(seen.name))
        number = header.epoch
        if number is None and saved is not None:
            number = int(saved[1] or saved[2])
        step = header.global_step
        if step is None and saved is not None and saved[3]:
            step = int(saved[3])
        if not number:
            return Position(None, step, row=step)
        key = "extra_state.train_iterator.epoch"
        return Position(number - 1, step, number, key, row=step, row_epoch=number - 1, whole=False)

    def monitor(self, seen: Seen) -> Monitor | None:
        """``loss`` is the validation's, here ``val_loss`` as in the checkpoint."""
        stated = seen.header.hyper_parameters
        for section in ("checkpoint.", ""):
            name, up = (stated.get(f"{section}{key}") for key in (BEST, MAXIMIZE))
            if isinstance(name, str) and name:
                mode: Mode | None = None if not isinstance(up, bool) else "max" if up else "min"
                return Monitor("val_loss" if name == "loss" else name, mode, f"{section}{BEST}")
        return None
