"""The headline fields, precision, recall, hmean and validation loss, out of metrics under their logged names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from catalogdb.headlines import HEADLINES, in_range
from catalogdb.records import Value


def headline_fields(metrics: Mapping[str, Value], *, known: Collection[str]) -> Iterator[tuple[str, Value]]:
    """Fields that aren't ``known``, within their range: a fraction, or a loss of at least 0. What is only known of the
    run comes last."""
    for field, names in HEADLINES.items():
        values = [] if field in known else [metrics[name] for name in names if name in metrics]
        if values:
            best = next((value for value in values if value.origin.scope == "checkpoint"), values[0])
            if in_range(field, best.value):
                yield field, best


def monitored_headline(monitor: str) -> str | None:
    """The headline field that a monitor's name means: ``val/hmean`` → ``hmean``, ``val/loss`` → ``validation_loss``."""
    if monitor in HEADLINES["validation_loss"]:
        return "validation_loss"
    scope, _, name = monitor.rpartition("/")
    return name if scope in ("", "val") and name in HEADLINES else None
