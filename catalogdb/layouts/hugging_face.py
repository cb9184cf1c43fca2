"""Hugging Face's Trainer: ``<output_dir>/checkpoint-<step>/``, each a folder that is one checkpoint.

``trainer_state.json`` in it has the whole log; ``epoch`` is a float of epochs done, so that 3.0 closes the third epoch,
which is number 2. What the newest of the states names as ``best_model_checkpoint`` is a claim, matched by the folder's
name: the path was absolute on the machine that trained (``transformers/trainer_callback.py``, ``TrainerState``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from catalogdb.layouts.base import Dependency, Guide, Habits, Listing, Monitor, Position, Seen, of_header
from catalogdb.layouts.names import IS_BEST, NOTHING, Claim
from catalogdb.records import Mode

STATE = "trainer_state.json"
FOLDER = re.compile(r"checkpoint-(\d{1,12})")
BEST = re.compile(r'"best_model_checkpoint"\s*:\s*("(?:[^"\\]|\\["\\/])*")')
"""Keys are sorted, so that it stands at the beginning of the state."""


class HuggingFace(Habits):
    name = "hugging_face"
    guide = Guide(
        "Hugging Face Trainer",
        "`<output_dir>/checkpoint-<step>/`, sharded, or with PEFT's adapters",
        "`trainer_state.json` (`log_history` at `step == global_step`); `config.json`, `adapter_config.json`, "
        "`training_args.bin`; `best_model_checkpoint` of the newest state",
        "a float of epochs done: 3.0 is epoch 2; none of an output folder with the best weights loaded",
    )
    marks = frozenset({STATE, "checkpoint-*"})
    tells = marks
    frameworks = frozenset({"transformers"})

    def depends(self, folder: Listing) -> Iterator[Dependency]:
        if STATE in folder.files:
            yield Dependency("state", folder, STATE)
            return
        steps = {int(found[1]): name for name in folder.folders if (found := FOLDER.fullmatch(name))}
        newest = folder.inside(steps[max(steps)]) if steps else None
        if newest is not None and STATE in newest.files:
            yield Dependency("state", newest, STATE)

    def position(self, seen: Seen) -> Position:
        found = FOLDER.fullmatch(seen.name)
        if found is None and seen.header.framework not in self.frameworks:
            return of_header(seen)
        raw = seen.header.scalars.get("epoch")
        step = seen.header.global_step if seen.header.global_step is not None else found and int(found[1])
        if type(raw) not in (int, float) or not 0 <= raw < 2**53:  # type: ignore[operator]  # a number, by its type
            return Position(None, step)
        done = float(raw)  # type: ignore[arg-type]  # as above
        return Position(max(math.ceil(done) - 1, 0), step, stated_epoch=done, key="trainer_state.json: epoch")

    def monitor(self, seen: Seen) -> Monitor | None:
        """A name without ``eval_`` gets it (``transformers/trainer.py``, ``_determine_best_metric``)."""
        stated = seen.header.hyper_parameters
        name, up = stated.get("metric_for_best_model"), stated.get("greater_is_better")
        if not isinstance(name, str) or not name:
            return None
        mode: Mode | None = None if not isinstance(up, bool) else "max" if up else "min"
        metric = name if name.startswith("eval_") else f"eval_{name}"
        return Monitor(metric, mode, "training_args.bin: metric_for_best_model")

    def claims(self, seen: Seen) -> frozenset[Claim]:
        found = BEST.search(seen.texts.get(STATE, ""))
        best = json.loads(found[1]) if found is not None else None
        named = best.replace("\\", "/").rstrip("/").rpartition("/")[2] if isinstance(best, str) else None
        return IS_BEST if named == seen.own_name else NOTHING
