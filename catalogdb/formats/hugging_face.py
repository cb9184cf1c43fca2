"""The Hugging Face Trainer's ``checkpoint-<step>/``: state and config as JSON beside the weights.

Layout after ``transformers/trainer.py`` (_save_checkpoint), ``…/trainer_callback.py`` (TrainerState.save_to_json) and
``…/utils/__init__.py`` (the names of weights). ``training_args.bin``, a pickled object, isn't opened.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from catalogdb.formats.json_text import load_object
from catalogdb.formats.plain import as_count, flatten
from catalogdb.formats.source import CutShort, Refused
from catalogdb.records import CheckpointHeader, Scalar

STATE = "trainer_state.json"
CONFIG = "config.json"
WEIGHTS = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
MAX_JSON = 32 * 1024 * 1024
_NO_METRIC = ("_runtime", "_per_second", "_steps", "_compilation_time")


def read_trainer_folder(
    path: str, sizes: Mapping[str, int], read_header: Callable[[str], CheckpointHeader]
) -> CheckpointHeader:
    """The folder as one checkpoint. Raises CutShort, Refused and OSError."""
    raw = _read_json(path, STATE, sizes)
    state = raw or {}
    header = CheckpointHeader("sharded")
    for name in WEIGHTS:
        if name in sizes:
            header = read_header(f"{path}/{name}")
            if header.state == "truncated":
                raise CutShort(f"{name}: {header.reason}")
            if header.state != "ready":
                raise Refused(f"{name}: {header.reason}")
            break
    step = as_count(state.get("global_step"))
    epoch = state.get("epoch")
    scalars = {key: state[key] for key in ("epoch", "global_step", "best_metric") if _is_number(state.get(key))}
    return replace(
        header,
        framework="transformers",
        framework_version=None,
        epoch=int(epoch) if type(epoch) is float and 0 <= epoch < 2**53 and epoch.is_integer() else as_count(epoch),
        global_step=step,
        hyper_parameters=_config(path, sizes),
        metrics=_metrics(state.get("log_history"), step),
        scalars=scalars,
    )


def _metrics(history: object, step: int | None) -> dict[str, float]:
    """What was evaluated at this very step: the last value of each ``eval_*`` in the log's entries of that step."""
    found: dict[str, float] = {}
    for entry in history if isinstance(history, list) and step is not None else ():
        if isinstance(entry, dict) and as_count(entry.get("step")) == step:
            for name, value in entry.items():
                if name.startswith("eval_") and not name.endswith(_NO_METRIC) and _is_number(value):
                    found[name] = float(value)
    return found


def _config(path: str, sizes: Mapping[str, int]) -> dict[str, Scalar]:
    return flatten(_read_json(path, CONFIG, sizes), lambda ref: None)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _read_json(path: str, name: str, sizes: Mapping[str, int]) -> dict[str, Any] | None:
    if name not in sizes:
        return None
    if sizes[name] > MAX_JSON:
        raise Refused(f"{name} of {sizes[name]} bytes")
    fd = os.open(f"{path}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        raw = os.pread(fd, MAX_JSON, 0)
    finally:
        os.close(fd)
    if not raw.rstrip().endswith(b"}"):
        raise CutShort(f"{name} ends too early")
    return load_object(raw, name, nan=True)
