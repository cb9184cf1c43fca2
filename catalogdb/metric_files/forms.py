"""Names of metrics files. Nothing heavy is imported here: the walk asks for them."""

from __future__ import annotations

EVENTS = "events.out.tfevents."
"""Begins the name of a file of TensorBoard's (``tensorflow/core/util/events_writer.cc``)."""

MLFLOW = "checkpoint_metrics.json"
"""Ends the name of MLflow's."""

OWN_LOGS = ("log.csv", "history.csv", "metrics.jsonl")
"""Names that training loops of one's own give to their logs, which state the checkpoint's own step."""


def is_event_file(name: str) -> bool:
    return name.startswith(EVENTS) and not name.endswith(".profile-empty")
