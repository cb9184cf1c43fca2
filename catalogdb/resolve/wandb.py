"""The seat of the W&B tier, between sidecar and inference: what it needs of whoever keeps its answers.

The tier itself isn't here yet. Its place in the chain, its name in provenance, the run's id that it starts from
(``wandb_run_id``, from the sidecar or the config) and the tables that keep every answer are.
"""

from __future__ import annotations

from typing import Protocol

from catalogdb.records import CachedRun


class RunCache(Protocol):
    """Runs as W&B last described them, kept beyond the process. ``store.run_cache`` satisfies it."""

    def find(self, entity: str, project: str, run_id: str) -> CachedRun | None:
        """The run as it was last fetched, however old, or None where it was never asked for."""

    def put(self, run: CachedRun) -> None:
        """Keeps a run, in place of what was known of it."""
