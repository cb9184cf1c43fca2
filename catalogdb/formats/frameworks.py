"""Which framework wrote a pickled checkpoint, and what its documented keys say. Anything else is read generically.

A framework is named only by keys that no other one writes. A number is taken as the framework wrote it: bases differ
(timm 0, MMEngine 1, …), and nothing here translates between them. Where a key's meaning isn't proven, null.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from catalogdb.formats.lightning_state import (
    VERSION_KEY,
    as_score,
    is_lightning,
    read_hyper_parameters,
    read_monitors,
    read_progress,
)
from catalogdb.formats.plain import ReadTensor, as_count, as_mapping, as_text, flatten, mapping_at
from catalogdb.formats.tensors import TensorRef
from catalogdb.records import LoopProgress, MonitorState, Scalar

STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model")
MAX_METRICS = 256
MAX_METRIC_NAME = 512

OWN_SCORE = re.compile(
    r"(?:val|valid|validation|eval|test)[_/](?:loss|acc|accuracy|acc1|acc5|top1|top5|error|err|f1|precision|recall|hmean"
    r"|iou|miou|dice|map|auc|auroc|score|mae|mse|rmse|psnr|ssim|wer|cer|bleu|ppl|perplexity)"
)
"""Keys at the top under which loops put this file's scores: ``best_acc1`` is the run's, ``val_split`` a setting."""

_COUNTED = frozenset({"epoch", "step", "global_step", "iter", "iteration"})


_NOTHING: Mapping[str, Any] = {}


class Facts(NamedTuple):
    """What a checkpoint's keys say. ``weights_at`` are the places where the model's weights may be, best first."""

    framework: str | None = None
    version: str | None = None
    epoch: int | None = None
    global_step: int | None = None
    progress: LoopProgress | None = None
    monitors: tuple[MonitorState, ...] = ()
    hyper_parameters: Mapping[str, Scalar] = _NOTHING
    metrics: Mapping[str, float] = _NOTHING
    weights_at: tuple[str, ...] = STATE_DICT_KEYS


Checkpoint = Mapping[Any, Any]


def read_facts(checkpoint: Checkpoint, read_tensor: ReadTensor) -> Facts:
    if not _TELLING.isdisjoint(checkpoint):
        for is_its, read in _FRAMEWORKS:
            if is_its(checkpoint):
                return read(checkpoint, read_tensor)
    return _plain(checkpoint, read_tensor)


def _has(*keys: str) -> Callable[[Checkpoint], bool]:
    return lambda checkpoint: all(key in checkpoint for key in keys)


def _lightning(checkpoint: Checkpoint, read_tensor: ReadTensor) -> Facts:
    """``lightning/pytorch/trainer/connectors/checkpoint_connector.py``: dump_checkpoint. NeMo's are Lightning's."""
    return Facts(
        "lightning",
        as_text(checkpoint.get(VERSION_KEY)),
        as_count(checkpoint.get("epoch")),
        as_count(checkpoint.get("global_step")),
        read_progress(checkpoint),
        read_monitors(checkpoint, read_tensor),
        read_hyper_parameters(checkpoint, read_tensor),
        _own_metrics(checkpoint, read_tensor),
        # under DeepSpeed the same keys stand in mp_rank_00_model_states.pt, with the weights at ``module``
        (*STATE_DICT_KEYS, "module"),
    )


def _own_metrics(checkpoint: Checkpoint, read_tensor: ReadTensor) -> dict[str, float]:
    """``cleval_metrics``: the metrics of this very file."""
    found: dict[str, float] = {}
    metrics = mapping_at(checkpoint, "cleval_metrics")
    if not metrics:
        return found
    for name in ("precision", "recall", "hmean"):
        score = as_score(metrics.get(name), read_tensor)
        if score is not None:
            found[f"cleval/{name}"] = score
    return found


def _is_mmengine(checkpoint: Checkpoint) -> bool:
    meta = mapping_at(checkpoint, "meta")
    return "mmengine_version" in meta or "mmcv_version" in meta


def _mmengine(checkpoint: Checkpoint, read_tensor: ReadTensor) -> Facts:
    """``mmengine/runner/runner.py``: save_checkpoint; before, ``mmcv/runner/*_based_runner.py``. ``epoch`` is 1-based
    when saved by epoch; ``iter`` counts iterations done."""
    meta = mapping_at(checkpoint, "meta")
    version = as_text(meta.get("mmengine_version")) or as_text(meta.get("mmcv_version"))
    shown = {key: meta[key] for key in ("seed", "experiment_name", "time", "config") if key in meta}
    return Facts(
        "mmengine" if "mmengine_version" in meta else "mmcv",
        version,
        as_count(meta.get("epoch")),
        as_count(meta.get("iter")),
        hyper_parameters={name: value for name, value in flatten(shown, read_tensor).items() if value is not None},
    )


def _is_ultralytics(checkpoint: Checkpoint) -> bool:
    return "train_args" in checkpoint and "ema" in checkpoint and "best_fitness" in checkpoint


def _ultralytics(checkpoint: Checkpoint, read_tensor: ReadTensor) -> Facts:
    """``ultralytics/engine/trainer.py``: save_model. ``epoch`` is 0-based, and -1 (here null) once the optimizer was
    stripped; the weights are those of ``ema``, a whole module, until then, and of ``model`` afterwards."""
    return Facts(
        "ultralytics",
        as_text(checkpoint.get("version")),
        as_count(checkpoint.get("epoch")),
        hyper_parameters=flatten(checkpoint.get("train_args"), read_tensor),
        metrics=_scores(checkpoint.get("train_metrics"), read_tensor),
        weights_at=("ema", "model"),
    )


def _is_timm(checkpoint: Checkpoint) -> bool:
    """``version`` 2 with ``arch`` and ``state_dict``, and either the arguments' Namespace or the score."""
    arch, version = checkpoint.get("arch"), checkpoint.get("version")
    return type(arch) is str and type(version) is int and version == 2 and "state_dict" in checkpoint


def _timm(checkpoint: Checkpoint, read_tensor: ReadTensor) -> Facts:
    """``timm/utils/checkpoint_saver.py``: _save. ``metric`` is this epoch's value of what ``--eval-metric`` names
    (``train.py``: ``eval_metrics[eval_metric]``, in summary.csv ``eval_<name>``). It stays unnamed without that, and
    without a validation set (``--val-split ''``), where it is the training's loss."""
    arguments = mapping_at(checkpoint, "args")
    metric, score = as_text(arguments.get("eval_metric")), as_score(checkpoint.get("metric"), read_tensor)
    if "val_split" in arguments and not arguments["val_split"]:
        metric = None
    return Facts(
        "timm",
        None,
        as_count(checkpoint.get("epoch")),
        hyper_parameters={**flatten(arguments, read_tensor), "arch": checkpoint["arch"]},
        metrics={f"eval_{metric}": score} if metric and score is not None and len(metric) < MAX_METRIC_NAME else {},
    )


def _fairseq(checkpoint: Checkpoint, read_tensor: ReadTensor) -> Facts:
    """``fairseq/checkpoint_utils.py``: save_state, save_checkpoint; ``fairseq/data/iterators.py``: state_dict, which
    names the *next* epoch when one has just ended (version 2). ``val_loss`` is that of ``best_checkpoint_metric``."""
    extra = mapping_at(checkpoint, "extra_state")
    iterator = mapping_at(extra, "train_iterator")
    epoch = as_count(iterator.get("epoch"))
    if epoch and iterator.get("version") == 2 and iterator.get("iterations_in_epoch") == 0:
        epoch -= 1
    history = checkpoint.get("optimizer_history")
    last = as_mapping(history[-1]) if type(history) is list and history else None
    parameters = flatten(checkpoint.get("cfg"), read_tensor) or flatten(checkpoint.get("args"), read_tensor)
    named = parameters.get("checkpoint.best_checkpoint_metric", parameters.get("best_checkpoint_metric"))
    score = as_score(extra.get("val_loss"), read_tensor)
    metrics: dict[str, float] = {}
    if type(named) is str and score is not None:
        metrics["val_loss" if named == "loss" else named] = score
    steps = None if last is None else as_count(last.get("num_updates"))
    return Facts("fairseq", None, epoch, steps, hyper_parameters=parameters, metrics=metrics)


def _deepspeed(checkpoint: Checkpoint, read_tensor: ReadTensor) -> Facts:
    """``deepspeed/runtime/engine.py``: _save_checkpoint; the client's own state stands beside, at the top."""
    return Facts(
        "deepspeed",
        as_text(checkpoint.get("ds_version")),
        as_count(checkpoint.get("epoch")),
        as_count(checkpoint.get("global_steps")),
        hyper_parameters=flatten(checkpoint.get("ds_config"), read_tensor),
        weights_at=("module",),
    )


def _megatron(checkpoint: Checkpoint, read_tensor: ReadTensor) -> Facts:
    """``megatron/training/checkpointing.py``: generate_state_dict. ``iteration`` counts iterations done."""
    return Facts(
        "megatron",
        None,
        None,
        as_count(checkpoint.get("iteration")),
        hyper_parameters=flatten(checkpoint.get("args"), read_tensor),
    )


def _nnunet(checkpoint: Checkpoint, read_tensor: ReadTensor) -> Facts:
    """``nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py``: save_checkpoint. ``current_epoch`` counts epochs done."""
    shown = {key: checkpoint[key] for key in ("trainer_name",) if key in checkpoint}
    return Facts(
        "nnunet",
        None,
        as_count(checkpoint.get("current_epoch")),
        hyper_parameters=flatten(shown, read_tensor),
        weights_at=("network_weights",),
    )


def _is_detectron(checkpoint: Checkpoint) -> bool:
    return type(checkpoint.get("iteration")) is int and {"model", "optimizer", "scheduler"} <= checkpoint.keys()


def _detectron(checkpoint: Checkpoint, read_tensor: ReadTensor) -> Facts:
    """``fvcore/common/checkpoint.py``: PeriodicCheckpointer.step. ``iteration`` is the last one's 0-based index."""
    return Facts("fvcore", None, None, as_count(checkpoint.get("iteration")))


def _plain(checkpoint: Checkpoint, read_tensor: ReadTensor) -> Facts:
    """No framework: top-level counts whose names leave no doubt.

    A ``step`` or ``iter`` beside an ``epoch`` may count inside that epoch, so that it says nothing; ``global_step`` and
    its like do. Of the floats at the top some are this file's scores (OWN_SCORE), others the best of the run; without
    an epoch or a step beside them none is taken.
    """
    epoch = as_count(checkpoint.get("epoch"))
    step = _only_count(checkpoint, ("global_step", "global_steps", "total_steps", "num_updates"))
    if step is None and "epoch" not in checkpoint and "global_step" not in checkpoint:
        step = _only_count(checkpoint, ("step", "steps", "iteration", "iter", "num_steps"))
    parameters = read_hyper_parameters(checkpoint, read_tensor)
    for key in ("args", "opt", "config", "cfg", "hparams"):
        parameters = parameters or flatten(checkpoint.get(key), read_tensor)
    placed = epoch is not None or step is not None
    return Facts(
        epoch=epoch,
        global_step=step,
        hyper_parameters=parameters,
        metrics={
            **(_stated_scores(checkpoint, read_tensor) if placed else {}),
            **_own_metrics(checkpoint, read_tensor),
        },
        weights_at=(*STATE_DICT_KEYS, "model_state", "network", "net", "weights"),
    )


def _stated_scores(checkpoint: Checkpoint, read_tensor: ReadTensor) -> dict[str, float]:
    """``{"metrics": {"val_loss": 0.33}}``, and scores at the top."""
    inner = _scores(checkpoint.get("metrics"), read_tensor).items()
    at_top = {key: checkpoint[key] for key in checkpoint if type(key) is str and OWN_SCORE.fullmatch(key)}
    floats = {key: value for key, value in at_top.items() if type(value) in (float, TensorRef)}
    found = {name: score for name, score in inner if name not in _COUNTED and "best" not in name.lower()}
    return {**found, **_scores(floats, read_tensor)}


def _only_count(checkpoint: Checkpoint, names: tuple[str, ...]) -> int | None:
    """The one number that all of ``names`` which are there agree on."""
    found = {as_count(checkpoint[name]) for name in names if name in checkpoint}
    return found.pop() if len(found) == 1 else None


def _scores(value: object, read_tensor: ReadTensor) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, item in (as_mapping(value) or {}).items():
        score = as_score(item, read_tensor)
        if type(name) is str and len(name) <= MAX_METRIC_NAME and score is not None and math.isfinite(score):
            found[name] = score
        if len(found) == MAX_METRICS:
            break
    return found


_FRAMEWORKS: tuple[tuple[Callable[[Checkpoint], bool], Callable[[Checkpoint, ReadTensor], Facts]], ...] = (
    (is_lightning, _lightning),
    (_is_mmengine, _mmengine),
    (_is_ultralytics, _ultralytics),
    (_is_timm, _timm),
    (_has("extra_state", "optimizer_history", "model"), _fairseq),
    (_has("global_steps", "skipped_steps", "dp_world_size", "module"), _deepspeed),
    (_has("checkpoint_version", "iteration", "args"), _megatron),
    (_has("network_weights", "current_epoch", "trainer_name"), _nnunet),
    (_is_detectron, _detectron),
)

_TELLING = frozenset(
    {
        VERSION_KEY,
        "meta",
        "train_args",
        "arch",
        "extra_state",
        "global_steps",
        "checkpoint_version",
        "network_weights",
        "iteration",
    }
)
"""Each framework needs one of these keys."""
