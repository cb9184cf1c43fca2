"""The headline fields, precision, recall, hmean and validation loss, out of metrics under their logged names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from catalogdb.headlines import HEADLINES, in_range
from catalogdb.records import Value


def headline_fields(metrics: Mapping[str, Value]) -> Iterator[tuple[str, Value]]:
    """Fields within their range: a fraction, or a loss of at least 0. What is only known of the run comes last."""
    for field, names in HEADLINES.items():
        known = [metrics[name] for name in names if name in metrics]
        if known:
            best = next((value for value in known if value.origin.scope == "checkpoint"), known[0])
            if in_range(field, best.value):
                yield field, best


def monitored_headline(monitor: str) -> str | None:
    """The headline field that a monitor's name means: ``val/hmean`` → ``hmean``, ``val/loss`` → ``validation_loss``."""
    if monitor in HEADLINES["validation_loss"]:
        return "validation_loss"
    scope, _, name = monitor.rpartition("/")
    return name if scope in ("", "val") and name in HEADLINES else None
