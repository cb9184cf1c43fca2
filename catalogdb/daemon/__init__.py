"""The daemon that keeps the catalog true: events are hints, reconciliation is the truth."""

from __future__ import annotations

from catalogdb.daemon.detach import detach
from catalogdb.daemon.facts import FactFormatter, LogFormat
from catalogdb.daemon.service import unit
from catalogdb.daemon.watcher import Watcher, WatchOptions

__all__ = ["FactFormatter", "LogFormat", "WatchOptions", "Watcher", "detach", "unit"]
