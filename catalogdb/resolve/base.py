"""What a resolver tier is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from catalogdb.records import Candidate, CheckpointHeader, Finding, Tier


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known about a candidate before a tier is asked: its own header, as far as it could be read."""

    header: CheckpointHeader


class Resolver(Protocol):
    """One source of knowledge about checkpoints. Implementations may be called from several threads at once."""

    @property
    def name(self) -> Tier:
        """Stored as provenance."""

    def resolve(self, candidate: Candidate, *, wanted: Collection[str], hints: Hints) -> Finding | None:
        """What this tier knows, or None where it has nothing to say.

        ``wanted`` names the fields that no tier before it knew. Raises ResolverError, and nothing else, where it
        should have known but could not be asked.
        """
