"""Folders that are one checkpoint, told by the names of what lies in them. Nothing here touches the disk.

Sources of the names: ``torch/distributed/checkpoint/filesystem.py`` (``.metadata``, ``__R_N.distcp``);
``lightning/fabric/strategies/fsdp.py`` (``meta.pt``); ``deepspeed/runtime/engine.py`` (``_get_ckpt_name``,
``_get_zero_ckpt_name``), whose files Lightning puts into ``checkpoint/`` beside ``latest``; ``transformers/trainer.py``
(``checkpoint-<step>``, ``trainer_state.json``) and ``transformers/utils/__init__.py`` (names of weights and indexes);
``huggingface_hub/serialization/_base.py`` (``-00001-of-00003``); ``megatron/training/checkpointing.py``
(``get_checkpoint_name``: ``iter_0000500/mp_rank_01_002``, of tensor, pipeline and expert rank);
``nemo/lightning/ckpt_utils.py`` (``weights`` and ``context`` in a folder that NeMo 2 names as
``gpt--val_loss=2.25-step=9``).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

FolderKind = Literal["torch_dcp", "deepspeed", "lightning_deepspeed", "hugging_face", "megatron", "nemo"]

STATE = "trainer_state.json"
METADATA = ".metadata"
META = "meta.pt"
COMMON = "common.pt"
"""What Megatron keeps beside the tensors: its arguments, the iteration."""

LATEST = "latest"
LIGHTNING_TAG = "checkpoint"

RANK = re.compile(r"mp_rank_(\d{2,5})(?:_(\d{3,5}))?(?:_(\d{3,5}))?")
RANK_STATES = ("model_optim_rng.pt", "model_rng.pt")
"""What each of Megatron's ranks writes; the second where the optimizer is distributed, and has files of its own."""
NEMO_WEIGHTS = "weights"
_NEMO_PARTS = frozenset({NEMO_WEIGHTS, "context"})
_ITERATION = re.compile(r"iter_\d{7,12}|release")

MODEL_STATES = re.compile(r"(?:zero_pp_rank_(\d{1,5})_)?mp_rank_(\d{1,5})_model_states\.pt")
OPTIM_STATES = re.compile(r"(?:bf16_)?zero_pp_rank_(\d{1,5})_mp_rank_(\d{1,5})_?optim_states\.pt")
INDEX = re.compile(r".+\.(?:safetensors|bin)\.index(?:\.\w+)?\.json")
SHARD = re.compile(r".+-\d{5}-of-(\d{5})\.(?:safetensors|bin)")
STEP_FOLDER = re.compile(r"checkpoint-(\d{1,12})")

WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
    "pytorch_model_fsdp.bin",
)
"""Weights in one file, as transformers looks for them."""

INNER_WEIGHTS = re.compile(r"global_step\d+|pytorch_model_fsdp_\d+")
"""Folders inside a Trainer's checkpoint that hold its weights: DeepSpeed's, and FSDP's in torch's distributed form."""

_INNER_PARTS = re.compile(rf"{INNER_WEIGHTS.pattern}|optimizer_\d+")
_TELLING = (
    ".distcp",
    "_states.pt",
    ".json",
    ".bin",
    ".safetensors",
    LATEST,
    METADATA,
    NEMO_WEIGHTS,
    "mp_rank_00",
    "_000",
)
_OWN_NAME = re.compile(r"checkpoint-\d+|global_step\d+|iter_\d+|.+\.(?:ckpt|pt|pth|bin|distcp)")
_PARTS = re.compile(
    r"\.metadata|.+\.distcp|.+_states\.pt|meta\.pt|common\.pt|[\w.-]+\.json|.+\.model|vocab\.\w+|merges\.txt"
    r"|.+-\d{5}-of-\d{5}\.(?:safetensors|bin)|(?:\w+_)?model(?:\.\w+)?\.(?:safetensors|bin)|pytorch_model_fsdp\w*\.bin"
    r"|(?:optimizer|scheduler|scaler|sampler)(?:_\d+)?\.(?:pt|bin)|rng_state(?:_\d+)?\.pth|training_args\.bin"
)


def may_be_checkpoint(names: Collection[str]) -> bool:
    """A cheap look: False means that ``kind_of_folder`` would say None."""
    return any([name.endswith(_TELLING) for name in names])


def kind_of_folder(folder: str, files: Collection[str], folders: Collection[str]) -> FolderKind | None:
    """What the folder called ``folder``, with these names of files and folders in it, is a checkpoint of; else None.

    ``lightning_deepspeed`` is only proven by ranks in its ``checkpoint/``: ``has_ranks``.
    """
    if any(name.endswith(".distcp") for name in files):
        return "torch_dcp"
    if has_ranks(files):
        return "deepspeed"
    if any(_is_rank(folder, name) for name in folders):
        return "megatron"
    if "=" in folder and _NEMO_PARTS.issubset(folders):
        return "nemo"
    if LATEST in files and LIGHTNING_TAG in folders:
        return "lightning_deepspeed"
    if any(SHARD.fullmatch(name) or INDEX.fullmatch(name) for name in files):
        return "hugging_face"
    if STATE in files and STEP_FOLDER.fullmatch(folder):
        return "hugging_face"
    if (STATE in files or STEP_FOLDER.fullmatch(folder)) and any(name in files for name in WEIGHTS):
        return "hugging_face"
    return "torch_dcp" if METADATA in files else None


def has_ranks(names: Collection[str]) -> bool:
    """Whether one of DeepSpeed's ranks left its states here."""
    return any(MODEL_STATES.fullmatch(name) or OPTIM_STATES.fullmatch(name) for name in names)


def _is_rank(folder: str, name: str) -> bool:
    return _ITERATION.fullmatch(folder) is not None and RANK.fullmatch(name) is not None


def owns_file(folder: str, name: str) -> bool:
    """Whether a file in a folder that is a checkpoint is a part of it.

    All are where the folder is called like a checkpoint. In another one, a Trainer's output folder say, files that the
    frameworks don't write keep rows of their own.
    """
    return _OWN_NAME.fullmatch(folder) is not None or _PARTS.fullmatch(name) is not None


def owns_folder(kind: FolderKind, name: str) -> bool:
    """Whether a folder in a folder that is a checkpoint is a part of it."""
    if kind == "lightning_deepspeed":
        return name == LIGHTNING_TAG
    if kind == "nemo":
        return name in _NEMO_PARTS
    return (RANK if kind == "megatron" else _INNER_PARTS).fullmatch(name) is not None


def may_be_owned(folder: str, name: str) -> bool:
    """A cheap look: False means that the folder called ``folder``, if it is a checkpoint, owns no folder ``name``."""
    if name == LIGHTNING_TAG or _INNER_PARTS.fullmatch(name) is not None:
        return True
    return _is_rank(folder, name) or (name in _NEMO_PARTS and "=" in folder)
