"""What each framework's documented keys say: right, or null. The files are torch's; their keys are built by hand."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import functools
import math
import types
from pathlib import Path
from typing import Any

import pytest

from catalogdb.formats import read_header
from catalogdb.records import CheckpointHeader
from tests.unit.formats import support

torch = pytest.importorskip("torch")

numpy = pytest.importorskip("numpy")

WEIGHTS = {"layer.weight": torch.ones(3, 2), "layer.bias": torch.ones(3)}
OPTIMIZER = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(3, 2)}}, "param_groups": []}


def header_of(folder: Path, checkpoint: dict[str, Any]) -> CheckpointHeader:
    path = folder / "x.pth"
    torch.save(checkpoint, path)
    header = read_header(str(path))
    assert (header.state, header.reason) == ("ready", None)
    return header


def check_weights(header: CheckpointHeader) -> None:
    assert [tensor.name for tensor in header.tensors] == [*WEIGHTS]
    assert header.weights is not None
    assert header.weights.num_parameters == 9


def test_timm(tmp_path: Path) -> None:
    """``timm/utils/checkpoint_saver.py``: _save; ``train.py`` saves ``eval_metrics[args.eval_metric]``."""
    checkpoint = {
        "epoch": 0,
        "arch": "resnet18",
        "optimizer": OPTIMIZER,
        "version": 2,
        "args": argparse.Namespace(lr=0.5, eval_metric="top1", model="resnet18"),
        "state_dict": WEIGHTS,
        "metric": 71.5,
    }
    header = header_of(tmp_path, checkpoint)
    assert (header.framework, header.epoch, header.global_step) == ("timm", 0, None)
    assert header.metrics == {"eval_top1": 71.5}
    assert header.hyper_parameters == {"lr": 0.5, "eval_metric": "top1", "model": "resnet18", "arch": "resnet18"}
    check_weights(header)
    nameless = header_of(tmp_path, {key: value for key, value in checkpoint.items() if key != "args"})
    assert (nameless.framework, nameless.metrics) == ("timm", {})
    unvalidated = header_of(tmp_path, {**checkpoint, "args": argparse.Namespace(eval_metric="top1", val_split="")})
    assert unvalidated.metrics == {}, "it is the training's loss"


@pytest.mark.parametrize(("epoch", "iterations"), [(12, 3600), (0, 90_000)])
def test_mmengine(tmp_path: Path, epoch: int, iterations: int) -> None:
    """``mmengine/runner/runner.py``: save_checkpoint."""
    meta = {
        "cfg": "model = dict(type='DBNet')",
        "epoch": epoch,
        "iter": iterations,
        "seed": 7,
        "experiment_name": "dbnet_20251018",
        "time": "20251018_143215",
        "mmengine_version": "0.10.4",
        "dataset_meta": {"classes": ["text"]},
    }
    header = header_of(tmp_path, {"meta": meta, "state_dict": WEIGHTS, "message_hub": {}, "optimizer": OPTIMIZER})
    assert (header.framework, header.framework_version) == ("mmengine", "0.10.4")
    assert (header.epoch, header.global_step) == (epoch, iterations)
    assert header.hyper_parameters["experiment_name"] == "dbnet_20251018"
    check_weights(header)


def test_mmcv(tmp_path: Path) -> None:
    meta = {"epoch": 3, "iter": 99, "mmcv_version": "1.7.0", "hook_msgs": {}}
    header = header_of(tmp_path, {"meta": meta, "state_dict": WEIGHTS})
    assert (header.framework, header.epoch, header.global_step) == ("mmcv", 3, 99)


def test_ultralytics(tmp_path: Path) -> None:
    """``ultralytics/engine/trainer.py``: save_model. ``ema`` is a module; NaN metrics are none."""
    layer = torch.nn.Linear(2, 3)
    checkpoint = {
        "epoch": 4,
        "best_fitness": 0.9,
        "model": None,
        "ema": torch.nn.Sequential(layer),
        "updates": 100,
        "optimizer": OPTIMIZER,
        "train_args": {"lr0": 0.01, "model": "yolo11n.pt"},
        "train_metrics": {"metrics/mAP50(B)": 0.5, "val/box_loss": math.nan, "fitness": torch.tensor(0.25)},
        "train_results": {"epoch": [1, 2], "metrics/mAP50(B)": [0.4, 0.5]},
        "date": "2025-10-18T14:32:15",
        "version": "8.3.0",
    }
    header = header_of(tmp_path, checkpoint)
    assert (header.framework, header.framework_version, header.epoch) == ("ultralytics", "8.3.0", 4)
    assert header.metrics == {"metrics/mAP50(B)": 0.5, "fitness": 0.25}
    assert header.hyper_parameters["lr0"] == 0.01
    assert [tensor.name for tensor in header.tensors] == ["0.weight", "0.bias"]
    stripped = header_of(tmp_path, {**checkpoint, "epoch": -1, "model": layer, "ema": None, "optimizer": None})
    assert (stripped.epoch, [tensor.name for tensor in stripped.tensors]) == (None, ["weight", "bias"])


@pytest.mark.parametrize(
    ("iterator", "epoch"),
    [
        ({"version": 2, "epoch": 4, "iterations_in_epoch": 0}, 3),
        ({"version": 2, "epoch": 4, "iterations_in_epoch": 70}, 4),
        ({"epoch": 4, "iterations_in_epoch": 0}, 4),
        ({}, None),
    ],
)
def test_fairseq(tmp_path: Path, iterator: dict[str, int], epoch: int | None) -> None:
    """``fairseq/checkpoint_utils.py``: save_state; at the end of an epoch its iterator names the next one."""
    checkpoint = {
        "cfg": {"checkpoint": {"best_checkpoint_metric": "bleu"}, "optimization": {"max_epoch": 50}},
        "args": None,
        "model": WEIGHTS,
        "optimizer_history": [{"num_updates": 10}, {"num_updates": 1200}],
        "extra_state": {"train_iterator": iterator, "val_loss": 31.5, "best": 33.0},
        "last_optimizer_state": OPTIMIZER,
    }
    header = header_of(tmp_path, checkpoint)
    assert (header.framework, header.epoch, header.global_step) == ("fairseq", epoch, 1200)
    assert header.metrics == {"bleu": 31.5}
    check_weights(header)
    old = header_of(tmp_path, {**checkpoint, "cfg": None, "args": argparse.Namespace(best_checkpoint_metric="loss")})
    assert old.metrics == {"val_loss": 31.5}
    assert header_of(tmp_path, {**checkpoint, "cfg": None}).metrics == {}


def test_deepspeed_model_states(tmp_path: Path) -> None:
    """``deepspeed/runtime/engine.py``: _save_checkpoint."""
    checkpoint = {
        "module": WEIGHTS,
        "optimizer": None,
        "lr_scheduler": None,
        "skipped_steps": 1,
        "global_steps": 500,
        "global_samples": 4000,
        "dp_world_size": 2,
        "mp_world_size": 1,
        "ds_config": {"train_batch_size": 8},
        "ds_version": "0.16.0",
    }
    header = header_of(tmp_path, checkpoint)
    assert (header.framework, header.framework_version, header.global_step) == ("deepspeed", "0.16.0", 500)
    assert header.hyper_parameters == {"train_batch_size": 8}
    check_weights(header)
    within = header_of(tmp_path, {**checkpoint, "pytorch-lightning_version": "2.6.0", "epoch": 2, "global_step": 7})
    assert (within.framework, within.epoch, within.global_step) == ("lightning", 2, 7)
    check_weights(within)


def test_megatron(tmp_path: Path) -> None:
    """``megatron/training/checkpointing.py``: generate_state_dict."""
    arguments = argparse.Namespace(num_layers=2, lr=1e-4)
    checkpoint = {
        "args": arguments,
        "checkpoint_version": 3.0,
        "iteration": 500,
        "model": WEIGHTS,
        "optimizer": OPTIMIZER,
    }
    header = header_of(tmp_path, checkpoint)
    assert (header.framework, header.epoch, header.global_step) == ("megatron", None, 500)
    assert header.hyper_parameters == {"num_layers": 2, "lr": 1e-4}


def test_nnunet(tmp_path: Path) -> None:
    """``nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py``: save_checkpoint."""
    checkpoint = {
        "network_weights": WEIGHTS,
        "optimizer_state": OPTIMIZER,
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [0.1, 0.2]},
        "_best_ema": 0.2,
        "current_epoch": 50,
        "init_args": {},
        "trainer_name": "nnUNetTrainer",
    }
    header = header_of(tmp_path, checkpoint)
    assert (header.framework, header.epoch, header.metrics) == ("nnunet", 50, {})
    check_weights(header)


def test_detectron(tmp_path: Path) -> None:
    """``fvcore/common/checkpoint.py``."""
    header = header_of(tmp_path, {"model": WEIGHTS, "optimizer": OPTIMIZER, "scheduler": {}, "iteration": 4999})
    assert (header.framework, header.epoch, header.global_step) == ("fvcore", None, 4999)


@pytest.mark.parametrize(
    ("counts", "epoch", "step"),
    [
        ({"epoch": 3, "global_step": 40, "step": 7}, 3, 40),
        ({"epoch": 3, "step": 7}, 3, None),
        ({"epoch": 3, "iter": 7}, 3, None),
        ({"step": 7}, None, 7),
        ({"iteration": 7, "step": 7}, None, 7),
        ({"iteration": 7, "step": 8}, None, None),
        ({"global_step": "7", "step": 7}, None, None),
        ({"num_updates": 7, "epoch": 1}, 1, 7),
        ({"epoch": torch.tensor(3)}, None, None),
        ({"best_acc1": 0.5, "epoch": 9}, 9, None),
    ],
)
def test_plain_counts(tmp_path: Path, counts: dict[str, Any], epoch: int | None, step: int | None) -> None:
    header = header_of(tmp_path, {**counts, "state_dict": WEIGHTS})
    assert (header.framework, header.epoch, header.global_step) == (None, epoch, step)
    assert header.metrics == {}
    check_weights(header)


def test_plain_arguments(tmp_path: Path) -> None:
    header = header_of(tmp_path, {"model": WEIGHTS, "args": argparse.Namespace(lr=0.1, sizes=[1, 2])})
    assert header.hyper_parameters == {"lr": 0.1, "sizes.0": 1, "sizes.1": 2}


@dataclasses.dataclass
class Schedule:
    warmup: int = 5
    stages: tuple[int, ...] = (1, 2)
    _cache: int = 0


class Slotted:
    __slots__ = ("depth",)

    def __init__(self) -> None:
        self.depth = 18


def test_objects_are_opened_and_the_rest_is_named(tmp_path: Path) -> None:
    arguments = {
        "schedule": Schedule(),
        "model": Slotted(),
        "none": types.SimpleNamespace(),
        "activation": torch.nn.ReLU(),
        "optimizer": torch.optim.SGD,
        "make": functools.partial(int, base=2),
        "every": datetime.timedelta(days=1),
        "array": numpy.zeros(3),
        "long": list(range(99)),
    }
    header = header_of(tmp_path, {"model": WEIGHTS, "hyper_parameters": arguments})
    assert header.hyper_parameters == {
        "schedule.warmup": 5,
        "schedule.stages.0": 1,
        "schedule.stages.1": 2,
        "model.depth": 18,
        "activation": "torch.nn.modules.activation.ReLU",
        "optimizer": "torch.optim.sgd.SGD",
        "make": "functools.partial",
        "every": "datetime.timedelta",
    }
    assert header_of(tmp_path, {"model": WEIGHTS, "args": Schedule(warmup=7)}).hyper_parameters["warmup"] == 7


def test_sizes_apart(tmp_path: Path) -> None:
    header = header_of(tmp_path, {"state_dict": WEIGHTS, "optimizer": OPTIMIZER})
    assert (header.weights_bytes, header.storage_bytes) == (36, 36 + 4 + 24)
    assert all(header.checksums)
    assert header.storages == ("0", "1")


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (["module.a", "module.b"], "module."),
        (["_orig_mod.module.a"], "_orig_mod.module."),
        (["module.a", "other.b"], None),
        (["model.a", "model.b"], "model."),
        (["modules.a"], None),
    ],
)
def test_wrapping_prefixes_are_named(tmp_path: Path, names: list[str], prefix: str | None) -> None:
    assert header_of(tmp_path, {"state_dict": dict.fromkeys(names, torch.ones(1))}).weights_prefix == prefix


def test_an_unknown_framework_with_hostile_values_is_read(tmp_path: Path) -> None:
    """Keys of every framework, each with a value of another kind."""
    keys = ["meta", "train_args", "ema", "best_fitness", "arch", "version", "state_dict", "extra_state", "args"]
    keys += ["optimizer_history", "model", "global_steps", "skipped_steps", "dp_world_size", "module", "iteration"]
    keys += ["checkpoint_version", "network_weights", "current_epoch", "trainer_name", "cfg", "train_metrics"]
    for value in (b"N", b"]", b"}", b"K\x01", support.text("x"), support.name_ref("os", "system"), b")", b"](Ne"):
        content = support.pickled(support.mapping(**dict.fromkeys(keys, value)))
        header = support.read_bytes(tmp_path, support.torch_zip(content))
        assert header.state == "ready", (value, header.reason)


@pytest.mark.parametrize(
    ("beside", "metrics"),
    [
        ({"metrics": {"val_loss": 0.25, "epoch": 3, "best_acc": 0.5, "history": [1.0]}}, {"val_loss": 0.25}),
        ({"val_acc": 0.5, "val/loss": torch.tensor(0.25)}, {"val_acc": 0.5, "val/loss": 0.25}),
        ({"best_acc1": 71.5, "loss": 0.5, "val_split": 0.1, "best_val_loss": 0.5, "val_acc": 7}, {}),
    ],
)
def test_scores_of_a_loop_s_own_beside_its_epoch(
    tmp_path: Path, beside: dict[str, Any], metrics: dict[str, float]
) -> None:
    assert header_of(tmp_path, {"epoch": 3, "model": WEIGHTS, **beside}).metrics == metrics
    assert header_of(tmp_path, {"model": WEIGHTS, **beside}).metrics == {}
