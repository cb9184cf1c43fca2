"""What Lightning writes into a checkpoint beside the weights, read from plain data. Lightning isn't imported.

Keys after ``lightning/pytorch/trainer/connectors/checkpoint_connector.py`` (dump_checkpoint), ``…/callbacks/
model_checkpoint.py`` (state_dict, state_key) and ``…/core/saving.py`` (CHECKPOINT_HYPER_PARAMS_KEY).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from catalogdb.formats.pickle_values import GlobalRef
from catalogdb.formats.plain import ReadTensor, as_mapping, as_text, flatten, mapping_at
from catalogdb.formats.tensors import TensorRef
from catalogdb.records import LoopProgress, Mode, MonitorState, Scalar

VERSION_KEY = "pytorch-lightning_version"
HYPER_PARAMETERS = ("hyper_parameters", "datamodule_hyper_parameters")

STATE_KEYS = frozenset({"monitor", "best_model_score", "best_model_path", "current_score", "dirpath"})
"""What the state of every ModelCheckpoint has, since Lightning 1.2."""

MAX_KEY = 4096
MAX_MONITORS = 64
MAX_BEST_MODELS = 1_000

_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_STATE = re.compile(rf"\{{'monitor': (?:None|{_QUOTED}), 'mode': '(min|max)'[,}}]")
_SAVES_BY_STEPS = re.compile(r"'every_n_train_steps': [1-9]|'train_time_interval': (?!None)")
_ANY_MODE = re.compile(r"[{ ]'mode': '(min|max)'[,}]")


def is_lightning(checkpoint: Mapping[Any, Any]) -> bool:
    return VERSION_KEY in checkpoint


def read_hyper_parameters(checkpoint: Mapping[Any, Any], read_tensor: ReadTensor) -> dict[str, Scalar]:
    """The model's hyperparameters; where it has none, the datamodule's."""
    for key in HYPER_PARAMETERS:
        found = flatten(checkpoint.get(key), read_tensor)
        if found:
            return found
    return {}


def read_monitors(checkpoint: Mapping[Any, Any], read_tensor: ReadTensor) -> tuple[MonitorState, ...]:
    """The ModelCheckpoint callbacks, subclasses included, in the order of ``callbacks``."""
    monitors: list[MonitorState] = []
    for key, value in mapping_at(checkpoint, "callbacks").items():
        state = as_mapping(value)
        if state is not None and _is_model_checkpoint(key, state) and len(monitors) < MAX_MONITORS:
            monitors.append(_monitor(key, state, read_tensor))
    return tuple(monitors)


def _is_model_checkpoint(key: object, state: Mapping[Any, Any]) -> bool:
    """By its class's name, or, a subclass of another name, by what its state holds."""
    name = _class_name(key)
    return (name is not None and "ModelCheckpoint" in name) or state.keys() >= STATE_KEYS


def _class_name(key: object) -> str | None:
    """Of a callback's key: ``Name{…}`` since 1.5, before that the class or ``<class 'module.Name'>``."""
    if type(key) is GlobalRef:
        return key.name
    if type(key) is str and len(key) <= MAX_KEY:
        return key.partition("{")[0]
    return None


def _mode(key: object) -> Mode | None:
    """The mode stands only in the key: ``ModelCheckpoint{'monitor': 'val/loss', 'mode': 'min', …}``.

    The key is a class name and a dict's repr. It isn't evaluated: ``train_time_interval`` may be a
    ``datetime.timedelta(…)``, no literal, and Python's parser warns and overflows for hostile text.
    """
    if type(key) is not str:
        return None
    state = key[key.find("{") :]
    found = _STATE.match(state) or _ANY_MODE.search(state)
    return cast(Mode, found[1]) if found and "{" in key else None


def _monitor(key: object, state: Mapping[Any, Any], read_tensor: ReadTensor) -> MonitorState:
    best: dict[str, float] = {}
    for path, score in mapping_at(state, "best_k_models").items():
        number = as_score(score, read_tensor)
        if type(path) is str and len(path) <= MAX_KEY and number is not None and len(best) < MAX_BEST_MODELS:
            best[path] = number
    return MonitorState(
        monitor=as_text(state.get("monitor")),
        mode=_mode(key),
        current_score=as_score(state.get("current_score"), read_tensor),
        best_model_score=as_score(state.get("best_model_score"), read_tensor),
        best_model_path=as_text(state.get("best_model_path")),
        last_model_path=as_text(state.get("last_model_path")),
        best_k_models=best,
        by_steps=type(key) is str and _SAVES_BY_STEPS.search(key) is not None,
        dirpath=as_text(state.get("dirpath")),
    )


def read_progress(checkpoint: Mapping[Any, Any]) -> LoopProgress | None:
    """The fit loop's counters; None where they aren't as Lightning 2 writes them
    (``lightning/pytorch/loops/progress.py``, ``…/fit_loop.py``, ``…/training_epoch_loop.py``)."""
    fit = mapping_at(mapping_at(checkpoint, "loops"), "fit_loop")
    batch = mapping_at(fit, "epoch_loop.batch_progress")
    current = mapping_at(batch, "current")
    validation = mapping_at(fit, "epoch_loop.val_loop.batch_progress")
    latest, in_all = mapping_at(validation, "current"), mapping_at(validation, "total")
    epochs = mapping_at(mapping_at(fit, "epoch_progress"), "total")
    counters = [current.get(name) for name in ("ready", "processed", "completed")]
    counters += [latest.get("ready"), latest.get("completed"), epochs.get("ready"), epochs.get("completed")]
    if not all(type(counter) is int for counter in counters):
        return None
    ready, processed, completed, asked, validated, begun, ended = cast("list[int]", counters)
    return LoopProgress(
        in_epoch=ended == begun - 1,
        batch_processed=processed == ready,
        batch_completed=completed == ready,
        last_batch=batch.get("is_last_batch") is True,
        validated=validated == asked,
        row=_row(fit, mapping_at(fit, "epoch_progress")),
        epoch_ended=epochs.get("processed") == begun,
        validated_once=in_all.get("ready", asked) == asked,  # counted anew in each epoch
    )


def _row(fit: Mapping[Any, Any], epochs: Mapping[Any, Any]) -> int | None:
    """The step under which loggers have this state's metrics: batches stepped before, with any number of optimizers.

    The counter goes up when a batch has ended, its validation included; at the end of an epoch it has
    (``…/training_epoch_loop.py``, ``on_advance_end``; ``…/fit_loop.py``, ``on_advance_end``).
    """
    stepped = mapping_at(fit, "epoch_loop.state_dict").get("_batches_that_stepped")
    total = mapping_at(epochs, "total")
    ready, processed = total.get("ready"), total.get("processed")
    if type(stepped) is not int or type(ready) is not int or type(processed) is not int:
        return None
    row = stepped - 1 if processed == ready else stepped
    return row if 0 <= row < 2**63 else None


def as_score(value: object, read_tensor: ReadTensor) -> float | None:
    """A number, or a tensor of one element, as a float; NaN and infinity are kept."""
    number = read_tensor(value) if type(value) is TensorRef else value
    if type(number) not in (int, float):
        return None
    try:
        return float(cast(float, number))
    except OverflowError:
        return None
