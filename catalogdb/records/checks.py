"""What came of checking checkpoints, and of writing their sidecars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FaultKind = Literal["missing", "truncated", "unreadable", "corrupt", "duplicate", "sidecar", "claim"]
"""What ``verify`` finds: gone; ends too early or lacks a part; can't be read; bytes that have changed since they were
written; the weights of another file; a sidecar that is broken or about another state; called best or last and isn't."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a checkpoint. ``path`` is absolute, ``reason`` one line."""

    path: str
    kind: FaultKind
    reason: str

    def to_dict(self) -> dict[str, str]:
        return {"path": self.path, "kind": self.kind, "reason": self.reason}


SidecarAction = Literal["write", "replace", "written", "replaced", "kept", "skipped", "failed"]
"""What becomes of a sidecar: ``write`` and ``replace`` are what would be done; ``kept`` was there before."""


@dataclass(frozen=True, slots=True)
class SidecarWrite:
    """What came of one checkpoint's sidecar. ``values`` are the names of what it states; ``reason`` says why not."""

    path: str
    sidecar: str
    action: SidecarAction
    values: tuple[str, ...] = ()
    reason: str | None = None
