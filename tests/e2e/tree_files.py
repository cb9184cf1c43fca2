"""The bytes of generated files: checkpoints as torch and Lightning write them, and files that only look like one."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from safetensors.torch import save as safetensors_bytes

from tests.e2e.tree_training import KeeperState, Run, Save, Written


class Size(NamedTuple):
    """What the catalog should know of a file's weights."""

    num_parameters: int
    num_tensors: int
    dtypes: Mapping[str, int]


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    """Two layers in two precisions, tied weights, and a normalisation's bookkeeping."""
    width = run.width
    body = torch.full((width, 3), 0.5)
    return {
        "body.weight": body,
        "body.bias": torch.zeros(width, dtype=torch.float16),
        "head.weight": body,
        "norm.running_mean": torch.zeros(width),
        "norm.num_batches_tracked": torch.tensor(7),
    }


def size_of(written: Written) -> Size:
    """Tied weights count once, where the container can say that they are tied."""
    width = written.run.width
    times = 2 if written.kind == "safetensors" else 1
    return Size(times * 3 * width + width, 5, {"float32": times * 3 * width, "float16": width})


def checkpoint_bytes(written: Written) -> bytes:
    state_dict = weights_of(written.run)
    if written.kind == "safetensors":
        clones = {name: tensor.clone() for name, tensor in state_dict.items()}
        return bytes(safetensors_bytes(clones, {"format": "pt"}))
    buffer = io.BytesIO()
    torch.save(_document(written, state_dict), buffer)
    return buffer.getvalue()


def _document(written: Written, state_dict: dict[str, torch.Tensor]) -> dict[str, Any]:
    save = written.save
    if written.kind == "bare":
        return dict(state_dict)
    if written.kind == "dict":
        counters = {"epoch": save.epoch, "global_step": save.step}
        return {
            **{name: value for name, value in counters.items() if name in written.tells},
            "model_state_dict": state_dict,
            "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 0.1}]},
            "loss": save.metrics["val/loss"],
        }
    document: dict[str, Any] = {
        "epoch": save.epoch,
        "global_step": save.step,
        "pytorch-lightning_version": "2.6.1" if written.run.recent else "2.5.1",
        "state_dict": state_dict,
        "loops": {"fit_loop": _fit_loop(save)},
        "hparams_name": "kwargs",
        "hyper_parameters": dict(written.run.hyper_parameters),
    }
    if written.run.cleval:
        document["cleval_metrics"] = {
            name: torch.tensor(save.metrics[f"cleval/{name}"]) for name in ("precision", "recall", "hmean")
        }
    if written.kind == "lightning":
        document["callbacks"] = {state.keeper.key: _callback(state, written) for state in written.states}
        document["callbacks"]["EarlyStopping{'monitor': 'val/loss', 'mode': 'min'}"] = {"best_score": torch.tensor(9.0)}
        document["optimizer_states"] = [{"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}}}]
        document["lr_schedulers"] = [{"last_epoch": save.epoch + 1, "_step_count": save.step}]
    return document


def _fit_loop(save: Save) -> dict[str, Any]:
    """Its counters after the validation that ends an epoch (``lightning/pytorch/loops``)."""
    batches = dict.fromkeys(("ready", "started", "processed", "completed"), 5)
    epochs = {**dict.fromkeys(("ready", "started", "processed"), save.epoch + 1), "completed": save.epoch}
    return {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": save.step},
        "epoch_loop.batch_progress": {"current": batches, "total": batches, "is_last_batch": True},
        "epoch_loop.val_loop.batch_progress": {"current": batches, "total": batches, "is_last_batch": True},
        "epoch_progress": {"current": epochs, "total": epochs},
    }


def _callback(state: KeeperState, written: Written) -> dict[str, Any]:
    """``ModelCheckpoint.state_dict``: scores are tensors of no dimension."""
    best_path, best_score = state.best
    worst = state.worst if len(state.kept) == state.keeper.top_k and state.kept else ("", None)
    return {
        "monitor": state.keeper.monitor,
        "best_model_score": _score(best_score),
        "best_model_path": best_path,
        "current_score": _score(state.current),
        "dirpath": f"{written.run.home}/{state.keeper.folder}",
        "best_k_models": {path: _score(score) for path, score in state.kept.items()},
        "kth_best_model_path": worst[0],
        "kth_value": _score(worst[1]),
        "last_model_path": state.last_path,
    }


def _score(value: float | None) -> torch.Tensor | None:
    return None if value is None else torch.tensor(value)


def foreign_bytes(rng: random.Random) -> bytes:
    """Something else under a checkpoint's name."""
    return rng.choice((_text, _picture, _html, _zip, _script, _json, _noise))(rng)


def _text(rng: random.Random) -> bytes:
    return f"epoch=3\nhmean: {rng.random()}\n".encode() * rng.randint(1, 40)


def _picture(rng: random.Random) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + rng.randbytes(rng.randint(0, 900))


def _html(rng: random.Random) -> bytes:
    return b"<!DOCTYPE html><title>404</title>" + b" " * rng.randint(0, 900)


def _json(rng: random.Random) -> bytes:
    return json.dumps({"epoch": rng.randint(0, 9), "weights": "elsewhere"}).encode()


def _noise(rng: random.Random) -> bytes:
    """Never a pickle's first byte, a zip's, or a brace where safetensors has one."""
    return b"\x01" + rng.randbytes(7) + b"\x00" + rng.randbytes(rng.randint(0, 900))


def _zip(rng: random.Random) -> bytes:
    return _archive({"readme.txt": b"weights are elsewhere", "data/0": rng.randbytes(40)})


def _script(rng: random.Random) -> bytes:
    """As ``torch.jit.save`` lays it out: it has code, and its data.pkl is no checkpoint."""
    return _archive(
        {
            "model/data.pkl": b"\x80\x02}.",
            "model/code/__torch__.py": b"class Model(Module):\n  pass\n",
            "model/constants.pkl": b"\x80\x02).",
            "model/version": b"3\n",
            "model/data/0": rng.randbytes(16),
        }
    )


def _archive(entries: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


INVALID = {
    "training.epoch": -1,
    "training.global_step": "many",
    "training.max_epochs": 0,
    "training.training_phase": "sleeping",
    "model.encoder.model_name": ["resnet50"],
    "metrics.precision": 1.7,
    "metrics.hmean": "high",
    "metrics.validation_loss": -0.5,
    "checkpointing.mode": "best",
    "checkpointing.save_top_k": "all",
    "created_at": "yesterday",
    "wandb_run_id": 12.5,
}
"""Values that the sidecar's format forbids, by their places."""


def sidecar_document(
    run: Run, save: Save, monitor: tuple[str, str], named: frozenset[str], invalid: frozenset[str]
) -> dict[str, Any]:
    """What training would have written at ``save``. ``named`` are the metrics that it says by name."""
    fields, metrics = run.fields, save.metrics
    headline = {
        "precision": metrics["val/precision"],
        "recall": metrics["val/recall"],
        "hmean": metrics["val/hmean"],
        "validation_loss": metrics["val/loss"],
    }
    document: dict[str, Any] = {
        "schema_version": "1.0",
        "checkpoint_path": f"/old/outputs/{run.exp_name}/checkpoints/some.ckpt",
        "exp_name": run.exp_name,
        "created_at": save.created_at,
        "training": {"epoch": save.epoch, "global_step": save.step, "max_epochs": fields["max_epochs"]},
        "model": {
            "architecture": fields["architecture"],
            "encoder": {"model_name": fields["backbone"], "pretrained": False, "frozen": True},
            "decoder": {"name": fields["decoder"], "in_channels": [64, 128], "params": {"bias": True}},
            "head": {"name": fields["head"], "params": {"box_thresh": 0.25}},
            "loss": {"name": fields["loss"], "params": {"alpha": 2.0}},
        },
        "metrics": {
            **{name: value for name, value in headline.items() if value == value},
            "additional_metrics": {name: metrics[name] for name in sorted(named)},
        },
        "checkpointing": {"monitor": monitor[0], "mode": monitor[1], "save_top_k": 3, "save_last": True},
    }
    if run.with_phase:
        document["training"]["training_phase"] = "finetuning"
        document["wandb_run_id"] = "abc123de"
    for place in invalid:
        *above, name = place.split(".")
        section = document
        for part in above:
            section = section[part]
        section[name] = INVALID[place]
    return document


def config_document(run: Run, seed: int, *, targets: bool) -> dict[str, Any]:
    """A Hydra config; ``targets`` names classes instead of names. Interpolations say nothing."""
    fields = run.fields
    document: dict[str, Any] = {
        "model": {
            "architecture_name": fields["architecture"],
            "encoder": {"model_name": fields["backbone"]},
            **{
                part: {"_target_": f"ocr.models.{fields[part]}"} if targets else {"name": fields[part]}
                for part in ("decoder", "head", "loss")
            },
        },
        "trainer": {"max_epochs": fields["max_epochs"], "precision": "16-mixed", "devices": None},
        "data": {"root": "${oc.env:DATA}", "batch_size": 8, "sizes": [640, 640], "late": "???"},
        "seed": seed,
    }
    if run.keepers:
        keeper = run.keepers[0]
        document["callbacks"] = {"model_checkpoint": {"monitor": keeper.monitor, "mode": keeper.mode, "save_top_k": 3}}
    return document
