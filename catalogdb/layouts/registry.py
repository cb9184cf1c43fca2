"""The layouts there are: those of this package, and those that others add through the entry point."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import cache, lru_cache
from importlib.metadata import entry_points
from typing import NamedTuple

from catalogdb.layouts.base import Layout
from catalogdb.layouts.deepspeed import DeepSpeed
from catalogdb.layouts.detectron2 import Detectron2
from catalogdb.layouts.fairseq import Fairseq
from catalogdb.layouts.foreign import Foreign
from catalogdb.layouts.hugging_face import HuggingFace
from catalogdb.layouts.hydra import Hydra
from catalogdb.layouts.lightning import Lightning
from catalogdb.layouts.megatron import Megatron
from catalogdb.layouts.mlflow import Mlflow
from catalogdb.layouts.mmengine import Mmengine
from catalogdb.layouts.nemo import Nemo
from catalogdb.layouts.plain import Plain
from catalogdb.layouts.timm import Timm
from catalogdb.layouts.torch_distributed import TorchDistributed
from catalogdb.layouts.ultralytics import Ultralytics

ENTRY_POINT = "catalogdb.layouts"
"""A package of layouts names, in this group, objects that satisfy ``Layout``, or callables without parameters that
return one."""

BUILT_IN: tuple[Layout, ...] = (
    Mlflow(),
    Nemo(),
    Lightning(),
    HuggingFace(),
    Timm(),
    Mmengine(),
    Ultralytics(),
    Detectron2(),
    Fairseq(),
    DeepSpeed(),
    TorchDistributed(),
    Megatron(),
    Hydra(),
    Plain(),
)
"""In order: the first that knows a checkpoint says where it stands."""

PLAIN = BUILT_IN[-1]

logger = logging.getLogger(__name__)


@cache
def layouts() -> tuple[Layout, ...]:
    """Those of others first. One that can't be loaded is left out, with a warning in the log."""
    found: list[Layout] = []
    for entry in sorted(entry_points(group=ENTRY_POINT), key=lambda entry: entry.name):
        try:
            given = entry.load()
            found.append(Foreign(given() if callable(given) else given))
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            logger.warning("the layout %s (%s) can't be used: %s", entry.name, entry.value, error)
    return (*found, *BUILT_IN)


class Marks(NamedTuple):
    """Names, and beginnings of names."""

    names: frozenset[str]
    beginnings: tuple[str, ...]

    def of(self, name: str) -> str | None:
        """The mark that a name is."""
        if name in self.names:
            return name
        if name.startswith(self.beginnings):
            return next(f"{each}*" for each in self.beginnings if name.startswith(each))
        return None


@cache
def all_marks() -> Marks:
    found = {mark for layout in layouts() for mark in layout.marks}
    beginnings = sorted(mark[:-1] for mark in found if mark.endswith("*"))
    return Marks(frozenset(mark for mark in found if not mark.endswith("*")), tuple(beginnings))


def layouts_with(marks: Collection[str]) -> list[Layout]:
    """Those that have something to say where these marks are."""
    return [layout for layout in layouts() if not layout.marks.isdisjoint(marks)]


@lru_cache(maxsize=4096)
def layout_of(framework: str | None, beside: tuple[str, ...]) -> Layout:
    """The layout that says where a checkpoint of this framework stands; without one, that of the files beside it."""
    if framework is not None:
        for layout in layouts():
            if framework in layout.frameworks:
                return layout
    return next((layout for layout in layouts() if not layout.tells.isdisjoint(beside)), PLAIN)
