"""What names say: Lightning's file names, the family's folder names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from catalogdb.layouts.names import counters
from catalogdb.run_folders import run_folder

__all__ = ["counters", "experiment", "path_patterns"]

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


def _whole_words(names: tuple[str, ...]) -> re.Pattern[str]:
    """``dbnet-resnet50-2025`` holds dbnet and resnet50; ``company`` holds no pan, ``resnet18_v2`` a resnet18."""
    alternatives = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![a-z0-9])(?:{alternatives})(?![a-z0-9])")


_ARCHITECTURE = _whole_words(ARCHITECTURES)
_BACKBONE = _whole_words(BACKBONES)


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


CONTAINERS = frozenset(
    {
        "outputs", "output", "multirun", "multiruns", "runs", "logs", "log", "results", "experiments", "exps", "train",
        "work_dirs", "mlruns", "lightning_logs", "nemo_experiments", "csv_logs", "tb_logs", "artifacts", "csv",
        "tensorboard",
    }
)  # fmt: skip
"""Folders that hold runs, whatever these are about."""

NUMBERED = re.compile(
    r"version_\d{1,6}|\d{1,3}|iter_\d{7,12}|mp_rank_\d\d(?:_\d{3})*|(?=.*\d[a-z])(?=.*[a-z]\d)[a-z0-9]{8}|[0-9a-f]{32}"
)
"""One run of several, or a part of one: Lightning's versions, the jobs of Hydra's sweeps, Megatron's iterations and
ranks, and the ids that W&B and MLflow make up."""

DATED = re.compile(r"\d{4}-\d\d-\d\d(?:[T_ -]\d\d[-:.]?\d\d(?:[-:.]?\d\d)?)?|\d\d-\d\d(?:-\d\d)?|\d{8}[-_T]?\d{4,6}")
"""Hydra's ``2025-10-18/14-32-15``, and times in other spellings."""


def experiment(path: str, root: str) -> str | None:
    """The experiment by the folders of an absolute path: the one above ``checkpoints``, else the file's own.

    A name such as ``{epoch}-{val/loss}`` makes one more folder below ``checkpoints``. Versions, sweeps' jobs and times
    are runs of what the folder above names (``dbnet/version_3`` is dbnet); where that says nothing either, a run is its
    time, from the date on (``outputs/2025-10-18/14-32-15`` is 2025-10-18/14-32-15). None for a file that lies directly
    in the root, and for a root that is itself a checkpoint.
    """
    if path == root:
        return None
    run = run_folder(path, root)
    if run == "/" or run == root == path.rpartition("/")[0]:
        return None
    return _telling(run, root)


def _telling(run: str, root: str) -> str | None:
    """The nearest name from a run's folder up that says what it is a run of."""
    times: list[str] = []
    place = run
    while place.startswith(root) and place:
        upper, _, name = place.rpartition("/")
        if DATED.fullmatch(name):
            times.insert(0, name)
        elif name.lower() in CONTAINERS and times:
            break
        elif not NUMBERED.fullmatch(name) and name.lower() not in CONTAINERS:
            return name or None
        place = upper
    name = run.rpartition("/")[2]
    return "/".join(times) or (name if name.lower() not in CONTAINERS else "") or None
