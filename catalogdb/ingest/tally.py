"""What a scan counts while it runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from catalogdb.records import TIERS, ChangeKind, Problem, Progress, Resolution, ScanReport, State

COUNTED = (*TIERS, "new", "updated", "unchanged", "moved", "missing", "writing", "unreadable", "foreign")
_STATE_COUNTS: dict[State, str] = {"writing": "writing", "unreadable": "unreadable", "truncated": "unreadable"}
"""The count of the report that a state adds to."""


@dataclass(slots=True)
class Tally:
    """``done`` are the candidates (relative paths) that an earlier round of the same look has counted. ``started`` is
    a reading of ``time.perf_counter``."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    found: int = 0
    resolved: int = 0
    total: int | None = None
    started: float = field(default_factory=time.perf_counter)

    def count(self, kind: ChangeKind, resolution: Resolution) -> None:
        self.counts.update((kind, resolution.source, _STATE_COUNTS.get(resolution.state, "ready")))

    def progress(self) -> Progress:
        return Progress(self.found, self.resolved, self.total, len(self.problems))

    def report(self, roots: Sequence[str]) -> ScanReport:
        return ScanReport(
            roots=tuple(roots),
            total=sum(self.counts[tier] for tier in TIERS),
            seconds=time.perf_counter() - self.started,
            problems=tuple(dict.fromkeys(self.problems)),
            **{name: self.counts[name] for name in COUNTED},
        )
