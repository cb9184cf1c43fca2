"""Weights & Biases for one catalog: the tier wired to its cache, its run folders and its server; and what is asked of
the cache itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from catalogdb.records import Problem, RunKey
from catalogdb.resolve.wandb import (
    Client,
    Fetcher,
    RunDefaults,
    RunFolders,
    RunLookup,
    RunQuestions,
    find_access,
    parse_run,
)
from catalogdb.settings import Settings
from catalogdb.store import Store


@dataclass(frozen=True, slots=True)
class Runs:
    """What a scan needs of W&B: who makes the questions, and who answers them."""

    questions: RunQuestions
    lookup: RunLookup


@contextmanager
def open_runs(store: Store, settings: Settings, *, environ: Mapping[str, str] | None = None) -> Iterator[Runs]:
    """Run folders and the cache answer; no server is asked."""
    folders = RunFolders(_run_places(settings))
    fetcher, defaults, base_url = _server(store, settings, environ)
    lookup = RunLookup(store.run_cache(), folders, fetcher, defaults, base_url=base_url)
    try:
        yield Runs(RunQuestions(folders), lookup)
    finally:
        lookup.close()


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """Runs that were asked for again; ``gone`` of them W&B no longer has; ``roots`` hold their checkpoints."""

    asked: int
    fetched: int
    gone: int
    roots: tuple[str, ...]
    problems: tuple[Problem, ...]


def refresh(store: Store, settings: Settings, *, project: str | None, run: str | None) -> RefreshReport:
    """Asks again for cached runs, finished ones as well, and marks their checkpoints for another look.

    A run that isn't cached is asked for where it is named whole. Without a key, or offline, only marks.
    """
    cache = store.run_cache()
    fetcher, _, base_url = _server(store, settings, None)
    keys = {key._replace(base_url=base_url): key for key in cache.keys(project=project, run=run)}
    named = parse_run(run, "config") if run is not None else None
    if named is not None and named.entity and named.project:
        keys.setdefault(RunKey(base_url, named.entity, named.project, named.run_id), RunKey("", "", "", ""))
    whole = [key for key in keys if key.entity and key.project]
    known = {found.key: found for found in cache.find({key.run_id for key in whole})}
    needs = {key: sorted(known[key].history) if key in known else [] for key in whole}
    fetched = {}
    problems: list[Problem] = []
    if fetcher is not None:
        try:
            fetched = fetcher.fetch(needs, lambda found: False, forget_history=True)
        finally:
            fetcher.close()
        problems = fetcher.problems
    roots = cache.recheck(project=project, run=run)
    gone = sum(not found.found for found in fetched.values())
    asked = len(whole) if fetcher is not None else 0
    return RefreshReport(asked, len(fetched) - gone, gone, tuple(roots), tuple(problems))


def _server(
    store: Store, settings: Settings, environ: Mapping[str, str] | None
) -> tuple[Fetcher | None, RunDefaults, str]:
    access = find_access(settings.wandb_base_url, environ=environ)
    defaults = RunDefaults(
        entity=settings.wandb_entity or access.entity or "",
        project=settings.wandb_project or access.project or "",
        only=settings.wandb_project_filter or "",
        ttl=settings.wandb_cache_ttl,
    )
    if access.key is None or settings.wandb_offline:
        return None, defaults, access.base_url
    client = Client(access, timeout=settings.wandb_timeout, retries=settings.wandb_retry_count)
    return Fetcher.of(client, store.run_cache(), ttl=defaults.ttl), defaults, access.base_url


def _run_places(settings: Settings) -> tuple[str, ...]:
    """Where W&B writes runs that lie beside no checkpoint: ``WANDB_DIR``, and the working directory."""
    places = [settings.wandb_dir] if settings.wandb_dir else []
    with suppress(OSError):  # it may be gone
        places.append(os.getcwd())  # noqa: PTH109  # a path is a text here
    return tuple(places)
