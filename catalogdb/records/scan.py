"""What a scan does, and what it did."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal

from catalogdb.records.resolution import Problem, Resolution


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is: candidates found and resolved; ``total`` is known once the walk is through."""

    found: int
    resolved: int
    total: int | None
    problems: int


ChangeKind = Literal["new", "updated", "moved", "missing"]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one row. ``path`` is absolute; ``resolution`` is None for a row that is ``missing``."""

    kind: ChangeKind
    path: str
    resolution: Resolution | None = None


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan did. ``total`` counts the rows of its roots that are on disk, by the tier that carried them.

    ``new``, ``updated``, ``unchanged``, ``moved`` and ``missing`` say what this scan found changed; ``writing`` and
    ``unreadable`` count states at its end. ``problems`` are those that this scan met: an unchanged file isn't read, so
    that its problems are with its row. ``foreign`` counts files with a checkpoint's name that hold none: they have no
    row.
    """

    roots: tuple[str, ...]
    total: int = 0
    yaml: int = 0
    wandb: int = 0
    legacy: int = 0
    new: int = 0
    updated: int = 0
    unchanged: int = 0
    moved: int = 0
    missing: int = 0
    writing: int = 0
    unreadable: int = 0
    foreign: int = 0
    seconds: float = 0.0
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of_all(cls, reports: Iterable[ScanReport]) -> ScanReport:
        """Several as one: their sum."""
        values: dict[str, Any] = {}
        for report in reports:
            for item in fields(cls):
                value = getattr(report, item.name)
                values[item.name] = values[item.name] + value if item.name in values else value
        return cls(**values) if values else cls(())

    def summary(self) -> str:
        """The line that ends a scan."""
        noun = "entry" if self.total == 1 else "entries"
        return (
            f"Catalog built: {self.total} {noun} "
            f"({self.yaml} YAML, {self.wandb} Wandb, {self.legacy} legacy) in {self.seconds:.3f}s"
        )

    def to_dict(self) -> dict[str, Any]:
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "foreign"}
        return {**values, "roots": list(self.roots), "problems": [problem.to_dict() for problem in self.problems]}
