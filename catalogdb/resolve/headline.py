"""The headline fields, precision, recall, hmean and validation loss, out of metrics under their logged names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from catalogdb.headlines import HEADLINES, in_range
from catalogdb.records import Value


def headline_fields(metrics: Mapping[str, Value]) -> Iterator[tuple[str, Value]]:
    """Fields within their range: a fraction, or a loss of at least 0."""
    for field, names in HEADLINES.items():
        known = next((metrics[name] for name in names if name in metrics), None)
        if known is not None and in_range(field, known.value):
            yield field, known


def monitored_headline(monitor: str) -> str | None:
    """The headline field that a monitor's name means: ``val/hmean`` → ``hmean``, ``val/loss`` → ``validation_loss``."""
    if monitor in HEADLINES["validation_loss"]:
        return "validation_loss"
    scope, _, name = monitor.rpartition("/")
    return name if scope in ("", "val") and name in HEADLINES else None
