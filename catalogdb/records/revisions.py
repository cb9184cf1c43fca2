"""What came of a change of the catalog's schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class UpgradeReport:
    """``before`` is None for a file that was new; ``backup`` is where the old file was copied to."""

    before: str | None
    after: str
    backup: Path | None


@dataclass(frozen=True, slots=True)
class RevisionReport:
    """``current`` is None for a file that holds no catalog yet; ``head`` is what this version writes."""

    current: str | None
    head: str
