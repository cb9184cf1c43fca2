"""What the names of checkpoints say: counters, metrics, claims."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

Claim = Literal["best", "last"]
IS_BEST: frozenset[Claim] = frozenset({"best"})
IS_LAST: frozenset[Claim] = frozenset({"last"})
NOTHING: frozenset[Claim] = frozenset()

COUNTER = re.compile(r"(?:^|[-_/])(epoch|step)=([0-9]{1,12})(?![0-9.]|,[0-9])")
"""Lightning's ``{epoch}-{step}``: ``epoch=10-step=5420.ckpt``, ``-v1`` where the name was taken
(``lightning/pytorch/callbacks/model_checkpoint.py``, ``_format_checkpoint_name``)."""

_SUFFIX = re.compile(r"(?:-v\d+)?(?:\.(?:ckpt|pt|pth|pth\.tar|tar|bin|safetensors|nemo))+$", re.IGNORECASE)
_PAIR = re.compile(r"[=:](-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?=$|[-_ /]|,(?!\d))")
"""``=0.31`` and ``:0.31``: both are in use, and both end before the next name. ``1,310`` may be either of two."""

_BEGUN = re.compile(r"[-_ ,][A-Za-z]\w*$")

_SEPARATORS = "-_ ,/"
COUNTERS = frozenset({"epoch", "step", "global_step", "iter", "iteration", "consumed_samples", "v", "version", "fold"})
"""Names that are no metrics."""

SETTINGS = frozenset(
    {
        "seed", "bs", "batch", "batch_size", "lr", "learning_rate", "wd", "weight_decay", "momentum", "dropout", "k",
        "epochs", "max_epochs", "steps", "max_steps", "dim", "width", "depth", "layers", "heads", "size", "img_size",
        "imgsz", "run", "trial", "rank", "gpus",
    }
)  # fmt: skip
"""Names of settings. They are metrics where training logs them as such."""

STEPS = frozenset(
    {"step", "steps", "iter", "iters", "iteration", "iterations", "it", "itr", "batch", "batch_idx", "batch_index"}
)
"""Words and keys for what is counted within an epoch, or over all of them."""

_EPOCHS = frozenset({"", "epoch", "epochs", "ep", "e", "checkpoint", "ckpt", "ckp", "model", "net", "best", "last"})
_NUMBER = re.compile(r"([A-Za-z]*)[-_= ]*(?<![\d.])(\d{1,12})(?!\.?\d)")

_NAMED_EPOCH = re.compile(r"(?<![A-Za-z])ep(?:och)?[-_ ]?(\d{1,9})(?!\.?\d)", re.IGNORECASE)

_AVERAGE = re.compile(
    r"(?:^|[-_. ])(?:avg|averaged?|swa|soup)[-_]?\d*(?:[-_](?:model|checkpoint|ckpt|weights|best|last|final))?$",
    re.IGNORECASE,
)
_LABELS = re.compile(r"^(?:(?:best|last|latest|model|checkpoint|ckpt|final|top|ep)[-_ ]+)+", re.IGNORECASE)
_LAST = re.compile(
    r"(?:checkpoint|model|ckpt)?[-_.]?(?:last|latest|final)(?:[-_.]?(?:checkpoint|model|ckpt|epoch))?(?:[-_.]weights)?"
    r"|.*--.*-last",
    re.IGNORECASE,
)
_BEST = re.compile(
    r"(?:checkpoint|model|ckpt)?[-_.]?best(?:[-_.](?:checkpoint|model|ckpt|epoch))?(?:[-_. @:=].*)?", re.IGNORECASE
)


def stem_of(name: str) -> str:
    """Without what a checkpoint's name ends with, ``-v1`` included."""
    return _SUFFIX.sub("", name)


@lru_cache(maxsize=8192)
def counters(file_name: str) -> Mapping[str, int]:
    """``epoch`` and ``global_step`` as the file's name states them; contradictory ones are left out."""
    stem = file_name.removesuffix(".tar").rpartition(".")[0]
    found: dict[str, set[int]] = {}
    for name, digits in COUNTER.findall(stem):
        found.setdefault("epoch" if name == "epoch" else "global_step", set()).add(int(digits))
    return {field: values.pop() for field, values in found.items() if len(values) == 1}


def name_below(path: str) -> str:
    """A file's name; with those of folders before it that metrics' names with ``/`` made: a folder's name that states
    something, and ends within what it states next."""
    folder, _, name = path.rpartition("/")
    while True:
        folder, _, last = folder.rpartition("/")
        if not ("=" in last or ":" in last) or _BEGUN.search(last) is None:
            return name
        name = f"{last}/{name}"


def metrics_in(path: str, known: Collection[str] = ()) -> Mapping[str, tuple[float, str]]:
    """Metrics that a name states, with the text: ``epoch=3-val_loss=0.31.ckpt`` has a ``val_loss``, 0.31.

    ``path`` is the file's below the folder of checkpoints: a metric's name with ``/`` makes a folder. A name may hold
    the characters that separate names; where ``known`` metrics are given, the longest that fits is meant, and its
    spelling is the one that is returned. 0 isn't taken: Lightning writes it for a metric that is missing
    (``lightning/pytorch/callbacks/model_checkpoint.py``, ``_format_checkpoint_name``).
    """
    text = stem_of(path)
    found: dict[str, tuple[float, str]] = {}
    start = 0
    for pair in _PAIR.finditer(text):
        raw = text[start : pair.start()].lstrip(_SEPARATORS)
        start = pair.end()
        name = _known_name(raw, known)
        if name is None:
            name = _own_name(raw)
            if name is None or name.lower() in SETTINGS:
                continue
        value = float(pair[1])
        if name.lower() in COUNTERS or value == 0:
            continue
        if name in found and found[name][0] != value:
            del found[name]
        else:
            found[name] = value, f"{name}={pair[1]}"
    return found


def _known_name(raw: str, known: Iterable[str]) -> str | None:
    """The longest known name that ``raw`` ends with, whatever characters stand for ``/`` and the like."""
    plain = _plain(raw)
    fitting = [name for name in known if f"-{plain}".endswith(f"-{_plain(name)}")]
    return max(fitting, key=len) if fitting else None


def as_logged(name: str, known: Iterable[str]) -> str:
    """The spelling of the known metric that ``name`` is, whatever characters stand for ``/`` and the like."""
    same = {each for each in known if _plain(each) == _plain(name)}
    return name if name in same or len(same) != 1 else same.pop()


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def _own_name(raw: str) -> str | None:
    """As it stands, without labels before it; None where what is before it can't be told from it (``a-b-loss``)."""
    name = _LABELS.sub("", raw.rpartition("--")[2])
    inner = re.split(r"[-_/ ]", name)
    if inner and inner[-1].lower() in {"epoch", "step", "iter"}:
        return inner[-1].lower()
    return name if re.fullmatch(r"[A-Za-z][\w@./+() -]{0,120}", name) else None


class Numbers(NamedTuple):
    """Whole numbers in a name: of steps, and others that may be its epoch."""

    steps: frozenset[int]
    others: frozenset[int]


@lru_cache(maxsize=8192)
def numbers_of(name: str) -> Numbers:
    """Of ``checkpoint0003.pth``, ``model_3.pt``, ``e3_it500.pt``: what stands behind a word for an epoch, a checkpoint
    or a step, or behind no word at all. ``resnet50`` and ``acc_0.81`` state none."""
    steps, others = set(), set()
    for word, number in _NUMBER.findall(stem_of(name)):
        if word.lower() in STEPS:
            steps.add(int(number))
        elif word.lower() in _EPOCHS:
            others.add(int(number))
    return Numbers(frozenset(steps), frozenset(others))


def epoch_named(name: str) -> int | None:
    """The epoch that ``model_epoch_12.pth`` is called by, from whatever number it counts."""
    found = set(_NAMED_EPOCH.findall(stem_of(name)))
    return int(found.pop()) if len(found) == 1 else None


@lru_cache(maxsize=8192)
def is_average(name: str) -> bool:
    """Of several checkpoints: ``checkpoint_avg5.pt``, ``swa_model.pt``. What else is in it is one of theirs
    (``fairseq/scripts/average_checkpoints.py``)."""
    return _AVERAGE.search(stem_of(name)) is not None


@lru_cache(maxsize=8192)
def claims_of(name: str) -> frozenset[Claim]:
    """``best.pt``, ``model_best.pth.tar``, ``best_bbox_mAP_epoch_9.pth``; ``last.ckpt``, ``checkpoint_last.pt``."""
    stem = stem_of(name)
    if _LAST.fullmatch(stem):
        return IS_LAST
    return IS_BEST if _BEST.fullmatch(stem) else NOTHING


def number_in(pattern: re.Pattern[str], name: str) -> int | None:
    """The number that the whole of a name, less its suffix, states."""
    found = pattern.fullmatch(stem_of(name))
    return int(found[1]) if found is not None else None
