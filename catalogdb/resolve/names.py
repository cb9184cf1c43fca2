"""What names say: Lightning's file names, the family's folder names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

ARCHITECTURES = ("dbnetpp", "dbnet", "craft", "psenet", "pan")
BACKBONES = (
    "mobilenetv3_small_050",
    "mobilenetv3_small_075",
    "mobilenetv3_large_100",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "efficientnet_b0",
    "efficientnet_b3",
    "efficientnet_v2_s",
)
CHECKPOINT_FOLDERS = frozenset({"checkpoints", "checkpoint", "ckpts", "ckpt", "weights"})

COUNTER = re.compile(r"(?:^|[-_/])(epoch|step)=([0-9]{1,12})(?![0-9.])")
"""Lightning's ``{epoch}-{step}``: ``epoch=10-step=5420.ckpt``, ``-v1`` where the name was taken
(``lightning/pytorch/callbacks/model_checkpoint.py``, ``_format_checkpoint_name``)."""


def _whole_words(names: tuple[str, ...]) -> re.Pattern[str]:
    """``dbnet-resnet50-2025`` holds dbnet and resnet50; ``company`` holds no pan, ``resnet18_v2`` a resnet18."""
    alternatives = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![a-z0-9])(?:{alternatives})(?![a-z0-9])")


_ARCHITECTURE = _whole_words(ARCHITECTURES)
_BACKBONE = _whole_words(BACKBONES)


@lru_cache(maxsize=8192)
def counters(file_name: str) -> Mapping[str, int]:
    """``epoch`` and ``global_step`` as the file's name states them; contradictory ones are left out."""
    stem = file_name.removesuffix(".tar").rpartition(".")[0]
    found: dict[str, set[int]] = {}
    for name, digits in COUNTER.findall(stem):
        found.setdefault("epoch" if name == "epoch" else "global_step", set()).add(int(digits))
    return {field: values.pop() for field, values in found.items() if len(values) == 1}


def _only(pattern: re.Pattern[str], rel_path: str) -> str | None:
    """The name that the nearest telling part of the path holds; None where that part holds two."""
    for part in reversed(rel_path.lower().split("/")):
        found = set(pattern.findall(part))
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def path_patterns(rel_path: str) -> Mapping[str, str]:
    """``architecture`` and ``backbone`` as folder and file names state them."""
    found = {"architecture": _only(_ARCHITECTURE, rel_path), "backbone": _only(_BACKBONE, rel_path)}
    return {field: value for field, value in found.items() if value is not None}


def experiment(path: str, root: str) -> str | None:
    """The experiment by the folders of an absolute path: the one above ``checkpoints``, else the file's own.

    A name such as ``{epoch}-{val/loss}`` makes one more folder below ``checkpoints``. None for a file that lies
    directly in the root, and for a root that is itself a checkpoint.
    """
    if path == root:
        return None
    folder = path.rpartition("/")[0]
    inner = folder
    while inner.startswith(root):
        upper, _, name = inner.rpartition("/")
        if name.lower() in CHECKPOINT_FOLDERS:
            return upper.rpartition("/")[2] or None
        inner = upper
    return folder.rpartition("/")[2] or None if folder != root else None
