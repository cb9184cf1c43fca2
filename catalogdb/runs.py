"""Weights & Biases for one catalog: the tier wired to its cache and its run folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from catalogdb.resolve.wandb import PUBLIC, RunDefaults, RunFolders, RunLookup, RunQuestions
from catalogdb.settings import Settings
from catalogdb.store import Store


@dataclass(frozen=True, slots=True)
class Runs:
    """What a scan needs of W&B: who makes the questions, and who answers them."""

    questions: RunQuestions
    lookup: RunLookup


@contextmanager
def open_runs(store: Store, settings: Settings) -> Iterator[Runs]:
    """Run folders and the cache answer; no server is asked."""
    folders = RunFolders(_run_places(settings))
    defaults = RunDefaults(
        entity=settings.wandb_entity or "",
        project=settings.wandb_project or "",
        only=settings.wandb_project_filter or "",
        ttl=settings.wandb_cache_ttl,
    )
    lookup = RunLookup(store.run_cache(), folders, None, defaults, base_url=settings.wandb_base_url or PUBLIC)
    try:
        yield Runs(RunQuestions(folders), lookup)
    finally:
        lookup.close()


def _run_places(settings: Settings) -> tuple[str, ...]:
    """Where W&B writes runs that lie beside no checkpoint: ``WANDB_DIR``, and the working directory."""
    places = [settings.wandb_dir] if settings.wandb_dir else []
    with suppress(OSError):  # it may be gone
        places.append(os.getcwd())  # noqa: PTH109  # a path is a text here
    return tuple(places)
