"""Hugging Face's folders: the Trainer's ``checkpoint-<step>/``, sharded models; state and config as JSON beside them.

Layout after ``transformers/trainer.py`` (_save_checkpoint), ``…/trainer_callback.py`` (TrainerState.save_to_json) and
``…/utils/__init__.py`` (the names of weights). ``training_args.bin``, a pickled object, is read as data.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from catalogdb.folders import INDEX, INNER_WEIGHTS, SHARD, STATE, STEP_FOLDER, WEIGHTS
from catalogdb.formats.json_text import load_object
from catalogdb.formats.plain import as_count, flatten
from catalogdb.formats.source import CutShort, Refused
from catalogdb.records import CheckpointHeader, HeaderState, ModelIdentity, Scalar

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
"""PEFT's (``peft/config.py``, ``save_pretrained``)."""
ARGUMENTS = "training_args.bin"
MAX_JSON = 32 * 1024 * 1024
MAX_ARGUMENTS = 1024 * 1024
MAX_MODEL_TYPE = 256
_NO_METRIC = ("_runtime", "_per_second", "_steps", "_compilation_time")


def read_trainer_folder(
    path: str,
    sizes: Mapping[str, int],
    read_header: Callable[[str], CheckpointHeader],
    read_inner: Callable[[str], CheckpointHeader],
) -> CheckpointHeader:
    """The folder as one checkpoint; ``read_inner`` reads a folder in it. What is known stays known without the weights.

    Raises CutShort, Refused and OSError.
    """
    state = _read_json(path, STATE, sizes)
    config = _read_json(path, CONFIG, sizes)
    header = _read_weights(path, sizes, read_header, read_inner)
    if state is not None or "transformers_version" in (config or {}):
        header = replace(header, framework="transformers", framework_version=None, model=_model(config))
    adapter = _read_json(path, ADAPTER, sizes)
    stated = [flatten(document, lambda ref: None) for document in (config, adapter)]
    arguments = _arguments(path, sizes, read_header)
    parameters = {**stated[0], **stated[1], **arguments}
    if state is None or not _is_of_the_weights(state, path, arguments):
        return replace(header, hyper_parameters={**header.hyper_parameters, **parameters})
    step = as_count(state.get("global_step"))
    epoch = state.get("epoch")
    scalars = {key: state[key] for key in ("epoch", "global_step", "best_metric") if _is_number(state.get(key))}
    return replace(
        header,
        epoch=int(epoch) if type(epoch) is float and 0 <= epoch < 2**53 and epoch.is_integer() else as_count(epoch),
        global_step=step,
        hyper_parameters=parameters,
        metrics=_metrics(state.get("log_history"), step),
        scalars=scalars,
    )


def _is_of_the_weights(state: Mapping[str, Any], path: str, arguments: Mapping[str, Scalar]) -> bool:
    """Whether the state is about these weights: beside those of an earlier, the best step, stands the state of the last
    one (``transformers/trainer.py``, ``load_best_model_at_end``, ``save_state``)."""
    if STEP_FOLDER.fullmatch(path.rpartition("/")[2]) or arguments.get("load_best_model_at_end") is False:
        return True
    best = state.get("best_model_checkpoint")
    return best is None or (isinstance(best, str) and best.endswith(f"checkpoint-{state.get('global_step')}"))


def _arguments(
    path: str, sizes: Mapping[str, int], read_header: Callable[[str], CheckpointHeader]
) -> Mapping[str, Scalar]:
    """None where the file isn't there, or isn't whole: the checkpoint doesn't need it."""
    if not 0 < sizes.get(ARGUMENTS, 0) <= MAX_ARGUMENTS:
        return {}
    try:
        header = read_header(f"{path}/{ARGUMENTS}")
    except OSError:
        return {}
    return header.hyper_parameters if header.state == "ready" and header.framework == "transformers" else {}


def _model(config: Mapping[str, Any] | None) -> ModelIdentity | None:
    """``model_type`` names the architecture (``transformers/configuration_utils.py``, ``PretrainedConfig``)."""
    name = (config or {}).get("model_type")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_MODEL_TYPE:
        return None
    return ModelIdentity(name, None, f"{CONFIG} model_type")


def _read_weights(
    path: str,
    sizes: Mapping[str, int],
    read_header: Callable[[str], CheckpointHeader],
    read_inner: Callable[[str], CheckpointHeader],
) -> CheckpointHeader:
    name = _find_weights(sizes)
    if name is None:
        sharded = any(SHARD.fullmatch(each) for each in sizes)
        reason = "its index, which is written last, isn't there" if sharded else "no weights are there"
        return CheckpointHeader("sharded", "truncated", reason)
    try:
        header = (read_inner if sizes[name] < 0 else read_header)(f"{path}/{name}")
    except IsADirectoryError:
        return CheckpointHeader("sharded", "truncated", f"{name}: no weights are there")
    if header.state == "ready":
        return header
    state: HeaderState = "truncated" if header.state == "truncated" else "unreadable"
    return replace(header, format=header.format or "sharded", state=state, reason=f"{name[:80]}: {header.reason}")


def _find_weights(sizes: Mapping[str, int]) -> str | None:
    """The file or folder to read: of a model that is there in several forms, the one that transformers would load."""
    indexes = sorted((name for name in sizes if INDEX.fullmatch(name)), key=lambda name: (len(name), name))
    of_safetensors = [name for name in indexes if ".safetensors." in name]
    inner = [name for name, size in sizes.items() if size < 0 and INNER_WEIGHTS.fullmatch(name)]
    safe, pickled, *others = WEIGHTS
    latest = sorted(inner, key=_number)[-1:]
    for name in (safe, *of_safetensors, pickled, *indexes, *others, *latest):
        if name in sizes:
            return name
    return None


def _number(name: str) -> int:
    return int("".join(filter(str.isdigit, name))[-12:] or 0)


def _metrics(history: object, step: int | None) -> dict[str, float]:
    """What was evaluated at this very step: each ``eval_*`` that the log's entries of that step don't differ in."""
    found: dict[str, set[float]] = {}
    for entry in history if isinstance(history, list) and step is not None else ():
        if isinstance(entry, dict) and as_count(entry.get("step")) == step:
            for name, value in entry.items():
                if name.startswith("eval_") and not name.endswith(_NO_METRIC) and _is_number(value):
                    found.setdefault(name, set()).add(float(value))
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


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
