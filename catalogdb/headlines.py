"""The headline fields, precision, recall, hmean and validation loss: which logged metric each of them is."""

from __future__ import annotations

import math
from collections.abc import Mapping

HEADLINES: Mapping[str, tuple[str, ...]] = {
    "precision": ("test/precision", "val/precision", "cleval/precision"),
    "recall": ("test/recall", "val/recall", "cleval/recall"),
    "hmean": ("test/hmean", "val/hmean", "cleval/hmean"),
    "validation_loss": ("val/loss", "val_loss", "validation_loss"),
}
"""Field → the metric names it is taken from, the first that is known."""


def in_range(field: str, value: float) -> bool:
    return math.isfinite(value) and value >= 0 and (field == "validation_loss" or value <= 1)
