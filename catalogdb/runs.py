"""Weights & Biases for one catalog: the tier wired to its cache, its run folders and its server; and what is asked of
the cache itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from catalogdb.errors import UsageError
from catalogdb.records import Problem, RunKey, RunRef
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
from catalogdb.settings import Settings, database_file
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
    beside = database_file(store.url) is not None  # a catalog in memory has one connection
    lookup = RunLookup(store.run_cache(), folders, fetcher, defaults, base_url=base_url, beside=beside)
    try:
        yield Runs(RunQuestions(folders), lookup)
    finally:
        lookup.close()


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """Runs that were asked for again: ``fetched``, or ``gone`` where W&B doesn't give them (any more).

    ``roots`` hold their checkpoints, which the next scan looks at again.
    """

    asked: int
    fetched: int
    gone: int
    roots: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def unanswered(self) -> int:
        return self.asked - self.fetched - self.gone


def refresh(store: Store, settings: Settings, *, project: str | None, run: str | None) -> RefreshReport:
    """Asks again for cached runs, finished ones as well, and marks their checkpoints for another look.

    A run that isn't cached is asked for where it is known whose it is. Offline only marks. Raises UsageError for what
    names no run, and where there is no key to ask with.
    """
    named = None if run is None else parse_run(run, "config")
    if run is not None and named is None:
        raise UsageError(f"{run!r}: names no run; write its id, or ENTITY/PROJECT/ID")
    cache = store.run_cache()
    fetcher, defaults, base_url = _server(store, settings, None)
    if fetcher is None:
        if not settings.wandb_offline:
            raise UsageError("no API key for W&B; set WANDB_API_KEY, or call wandb login")
        return RefreshReport(0, 0, 0, tuple(cache.recheck(project=project, run=run)), ())
    keys = dict.fromkeys(key._replace(base_url=base_url) for key in cache.keys(project=project, run=run))
    try:
        if named is not None and not keys:
            keys[_completed(named, project, defaults, fetcher)] = None
        whole = [key for key in keys if key.entity and key.project and defaults.allows(key.entity, key.project)]
        known = {found.key: sorted(found.history) for found in cache.find({key.run_id for key in whole})}
        needs = {key: known.get(key, []) for key in whole}
        fetched = fetcher.fetch(needs, lambda found: False, forget_history=True)
    finally:
        fetcher.close()
    roots = cache.recheck(project=project, run=run)
    gone = sum(not found.found for found in fetched.values())
    return RefreshReport(len(whole), len(fetched) - gone, gone, tuple(roots), tuple(fetcher.problems))


def _completed(named: RunRef, project: str | None, defaults: RunDefaults, fetcher: Fetcher) -> RunKey:
    """Whose a run is, as far as somebody says; what nobody says is empty."""
    stated_entity, _, stated = (project or "").rpartition("/")
    whose = named.project or stated or defaults.project
    entity = named.entity or stated_entity or defaults.entity
    if whose and not entity:
        entity = fetcher.entity()
    return RunKey(fetcher.base_url, entity, whose, named.run_id)


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
