"""Which of the scores in a Lightning checkpoint belongs to that very file.

``ModelCheckpoint`` writes its state into every file that the trainer saves: the scores of its best files so far, and
``current_score``, the score of its last save that was scored. A file of another callback, one saved between two
validations, on an exception or at the end of training carries them too, so that a score alone proves nothing
(``lightning/pytorch/callbacks/model_checkpoint.py``). What does, in falling order:

1. An entry of ``best_k_models`` whose name states the header's own step. It is made before the file is written, and
   ``last.ckpt`` of the same step carries the same state.
2. An entry for the file itself, under a name that states no step, if it is the score of the last save, no other
   callback lists the same file, and the loop was where such a save happens: with a constant name, a save on an
   exception overwrites the file and leaves the entry.
3. ``current_score`` for the file that ``last_model_path`` names, written when an epoch ended. Only since Lightning 2.6
   is ``last`` written exactly where the callback saved at that step; before, it was written after every epoch.

The score is whatever the metric was logged with last, in an earlier validation where none came since: of a callback
that saves by steps, after a batch, and at the end of an epoch without a validation (``check_val_every_n_epoch``). There
no score counts (``may_be_older``).

Lightning replaces a NaN score by an infinite one, so an infinite score is an unknown one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from catalogdb.records import CheckpointHeader, MonitorState
from catalogdb.resolve.names import counters

LAST_IS_SCORED_SINCE = (2, 6)


def own_scores(header: CheckpointHeader, path: str) -> dict[str, float]:
    """Metric name → the file's own score, for every callback that can prove one. ``path`` is the file's own.

    Stored paths are absolute on the machine that trained; trees move, so they are matched by name, or by name and
    folder's name.
    """
    found: dict[str, float] = {}
    for state in header.monitors:
        if state.monitor and state.monitor not in found and not may_be_older(state, header):
            score = _score_of_step(state, path, header)
            if score is None and _listed_as_last_saved(state, path, header):
                score = state.current_score
            if score is None and _is_scored_last(state, path, header):
                score = state.current_score
            if score is not None and math.isfinite(score):
                found[state.monitor] = score
    return found


def may_be_older(state: MonitorState, header: CheckpointHeader) -> bool:
    """Whether what the callback monitors may have been logged at an earlier step than the file's."""
    loop = header.progress
    if state.by_steps:
        return loop is None or not loop.batch_completed or loop.epoch_ended
    return loop is not None and loop.epoch_ended and not loop.validated_once


def callback_of(header: CheckpointHeader, path: str) -> MonitorState | None:
    """The callback that keeps this file: the only one that names it, else the only one that monitors anything.

    Without its folder, only a name that states a step is one file's: each callback may have its ``last.ckpt``.
    """
    monitoring = [state for state in header.monitors if state.monitor]
    told = "global_step" in counters(_base_name(path))
    for same in (_same_place, _same_name) if told else (_same_place,):
        claiming = [state for state in monitoring if any(same(kept, path) for kept in _kept(state, header))]
        if len({(state.monitor, state.mode) for state in claiming}) == 1:
            return claiming[0]
    return monitoring[0] if len({(state.monitor, state.mode) for state in monitoring}) == 1 else None


def _score_of_step(state: MonitorState, path: str, header: CheckpointHeader) -> float | None:
    """One that saves by steps may have made its entry after the batch, before another wrote this file."""
    if header.global_step is None:
        return None
    scores = {
        score
        for kept, score in state.best_k_models.items()
        if counters(_base_name(kept)).get("global_step") == header.global_step
        and _agrees(kept, header)
        and (not state.by_steps or _same_name(kept, path))
    }
    return scores.pop() if len(scores) == 1 else None


def _listed_as_last_saved(state: MonitorState, path: str, header: CheckpointHeader) -> bool:
    if "global_step" in counters(_base_name(path)):
        return False
    listed = [kept for kept in state.best_k_models if _same_place(kept, path)]
    if not listed and len(header.monitors) == 1:
        listed = [kept for kept in state.best_k_models if _same_name(kept, path)]
    if len(listed) != 1 or not _agrees(listed[0], header) or state.best_k_models[listed[0]] != state.current_score:
        return False
    claims = sum(_same_place(kept, path) for other in header.monitors for kept in other.best_k_models)
    if claims > 1:
        return False
    loop = header.progress
    return loop is None or (loop.in_epoch and loop.batch_processed and loop.batch_completed)


def _is_scored_last(state: MonitorState, path: str, header: CheckpointHeader) -> bool:
    loop = header.progress
    if loop is None or state.by_steps or _version(header) < LAST_IS_SCORED_SINCE:
        return False
    same = _same_name if len(header.monitors) == 1 else _same_place
    if not state.last_model_path or not same(state.last_model_path, path):
        return False
    if sum(_same_name(other.last_model_path or "", path) for other in header.monitors) > 1:
        return False
    return loop.in_epoch and loop.last_batch and loop.batch_completed and loop.validated


def _version(header: CheckpointHeader) -> tuple[int, ...]:
    parts = (header.framework_version or "").split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isascii() and part.isdigit() for part in parts) else (0,)


def _agrees(kept: str, header: CheckpointHeader) -> bool:
    """A name that states another epoch or step is another file's."""
    stated = counters(_base_name(kept))
    return (
        stated.get("global_step", header.global_step) == header.global_step
        and stated.get("epoch", header.epoch) == header.epoch
    )


def _kept(state: MonitorState, header: CheckpointHeader) -> Iterator[str]:
    """The files of the callback that this one may be."""
    for kept in (*state.best_k_models, state.last_model_path, state.best_model_path):
        if kept and _agrees(kept, header):
            yield kept


def _base_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _same_name(kept: str, path: str) -> bool:
    return _base_name(kept) == _base_name(path)


def _same_place(kept: str, path: str) -> bool:
    """The same name in a folder of the same name."""
    return kept.replace("\\", "/").rsplit("/", 2)[-2:] == path.rsplit("/", 2)[-2:]
