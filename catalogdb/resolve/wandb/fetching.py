"""Runs from the server into the cache: each asked for once, whoever needs it, a few projects at the same time."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Protocol, TypeVar

from catalogdb.records import CachedRun, HistoryNeed, Problem, RunFile, RunKey
from catalogdb.resolve.wandb.api import FetchedRun, default_entity, fetch_runs
from catalogdb.resolve.wandb.client import ApiError, Client, ServerDown
from catalogdb.resolve.wandb.likely import LikelySteps
from catalogdb.timestamps import iso

T = TypeVar("T")

ENDED = frozenset({"finished", "failed", "crashed", "killed", "preempted"})
ABSENT_SHARE = 0.25
"""Of the time that a running run stays cached: for one that isn't there, or is forbidden."""

PARALLEL = 4
"""Questions that are asked at the same time, of several projects or by several threads."""

POLL = 0.05

Needs = Mapping[RunKey, Sequence[HistoryNeed]]


class RunCache(Protocol):
    """Runs as W&B last described them, kept beyond the process. ``store.run_cache`` satisfies it."""

    def find(self, run_ids: Collection[str]) -> list[CachedRun]: ...

    def put(self, runs: Sequence[CachedRun], *, forget_history: bool = False) -> None: ...

    def find_file(self, path: str) -> RunFile | None: ...

    def put_files(self, files: Sequence[RunFile]) -> None: ...

    def claim(self, keys: Sequence[RunKey], *, seconds: float) -> set[RunKey]: ...

    def release(self, keys: Collection[RunKey]) -> None: ...

    def count(self, used: Mapping[tuple[str, str, str], tuple[int, int]]) -> None: ...


class Fetcher:
    """Asks one server, and keeps what it says. ``problems`` collects what is to be said once.

    Safe to use from several threads. Who needs a run that another one is asking for waits for its answer, and then asks
    only for what that doesn't have.
    """

    def __init__(self, client: Client, cache: RunCache, *, ttl: float, now: Callable[[], datetime]) -> None:
        self._client = client
        self._cache = cache
        self._ttl = ttl
        self._now = now
        self._entity: str | None = None
        self._entity_asked = False
        self._told = False
        self._likely: defaultdict[tuple[str, str], LikelySteps] = defaultdict(LikelySteps)
        self._knowing_entity = threading.Lock()
        self._asked_for: set[RunKey] = set()
        self._ended = threading.Condition()
        self._slots = threading.BoundedSemaphore(PARALLEL)
        self.problems: deque[Problem] = deque()

    @classmethod
    def of(cls, client: Client, cache: RunCache, *, ttl: float) -> Fetcher:
        return cls(client, cache, ttl=ttl, now=lambda: datetime.now(timezone.utc))

    @property
    def base_url(self) -> str:
        return self._client.base_url

    @property
    def is_down(self) -> bool:
        return self._client.down is not None

    def close(self) -> None:
        """Nothing more is asked, also where somebody still waits for an answer."""
        self._client.trip("is no longer asked")
        self._client.close()

    def ask_anew(self) -> None:
        """For another scan: a server that failed may be asked again, and what is wrong told again."""
        self._client.reset()
        self._told = False
        self._entity_asked = self._entity is not None

    def entity(self) -> str:
        """The entity that W&B takes for this key where none is named; empty where it can't be asked."""
        with self._knowing_entity:
            if not self._entity_asked:
                self._entity_asked = True
                result = self._beside([lambda: default_entity(self._client)])[0]
                self._entity = None if isinstance(result, ApiError) else result
                self._say_down()
            return self._entity or ""

    def fetch(
        self,
        needs: Needs,
        is_enough: Callable[[CachedRun], bool],
        *,
        forget_history: bool = False,
        under_way: Callable[[], None] = lambda: None,
    ) -> dict[RunKey, CachedRun]:
        """The runs, as far as the server can be asked. What another scan asks for already is waited for.

        ``is_enough`` says whether a run in the cache is fresh and has the rows. ``under_way`` is told when nothing but
        the server, or another thread or scan that asks it, is waited for.
        """
        with self._alone(needs.keys(), under_way):
            fetched = self._fetch_unclaimed(needs, is_enough, forget_history, under_way)
        self._say_down()
        return fetched

    @contextmanager
    def _alone(self, keys: Collection[RunKey], under_way: Callable[[], None]) -> Iterator[None]:
        """While no other thread of this process asks for any of these runs."""
        with self._ended:
            while not self._asked_for.isdisjoint(keys):
                under_way()
                self._ended.wait()
            self._asked_for.update(keys)
        try:
            yield
        finally:
            with self._ended:
                self._asked_for.difference_update(keys)
                self._ended.notify_all()

    def _fetch_unclaimed(
        self,
        needs: Needs,
        is_enough: Callable[[CachedRun], bool],
        forget_history: bool,
        under_way: Callable[[], None],
    ) -> dict[RunKey, CachedRun]:
        patience = self._client.timeout + 1.0
        end = time.monotonic() + patience
        fetched: dict[RunKey, CachedRun] = {}
        left = set(needs)
        while left:
            impatient = self._client.down is not None or time.monotonic() >= end
            mine = set(left) if impatient else self._cache.claim(list(left), seconds=patience)
            # After the claim: who asked for a run since the caller looked has kept the answer by now.
            for run in self._cache.find({key.run_id for key in left}):
                if run.key in left and is_enough(run):
                    fetched[run.key] = run
            self._cache.release(mine & fetched.keys())
            under_way()
            asked = {key: needs[key] for key in mine - fetched.keys()}
            fetched.update(self._fetch(asked, forget_history=forget_history))
            left -= mine | fetched.keys()
            if left:
                time.sleep(POLL)
        return fetched

    def _fetch(self, needs: Needs, *, forget_history: bool) -> dict[RunKey, CachedRun]:
        by_project: dict[tuple[str, str], dict[str, Sequence[HistoryNeed]]] = {}
        for key, some in needs.items():
            by_project.setdefault((key.entity, key.project), {})[key.run_id] = some
        projects = list(by_project.items())
        fetched: dict[RunKey, CachedRun] = {}
        for start in range(0, len(projects), PARALLEL):
            batch = projects[start : start + PARALLEL]
            calls = [partial(fetch_runs, self._client, self._likely[place], *place, runs) for place, runs in batch]
            made: list[CachedRun] = []
            for (place, runs), result in zip(batch, self._beside(calls), strict=True):
                made.extend(self._made(*place, runs, result))
            self._cache.put(made, forget_history=forget_history)
            fetched.update((run.key, run) for run in made)
        self._cache.release([key for key in needs if key not in fetched])
        return fetched

    def _made(
        self,
        entity: str,
        project: str,
        asked: Collection[str],
        result: dict[str, FetchedRun] | ApiError,
    ) -> Iterator[CachedRun]:
        now = self._now()
        soon = iso(now + timedelta(seconds=self._ttl * ABSENT_SHARE))
        if isinstance(result, ApiError):
            if isinstance(result, ServerDown):
                return
            self.problems.append(Problem(f"{entity}/{project}", "wandb", f"{self._client.name} {result.reason}"))
            if result.status not in (403, 404):
                return
            for run_id in asked:
                key = RunKey(self.base_url, entity, project, run_id)
                yield CachedRun(key, False, iso(now), soon, forbidden=result.status == 403)
            return
        for run_id in asked:
            key = RunKey(self.base_url, entity, project, run_id)
            run = result.get(run_id)
            if run is None:
                yield CachedRun(key, False, iso(now), soon)
            else:
                expires = None if run.state in ENDED else iso(now + timedelta(seconds=self._ttl))
                said = (run.state, run.config, run.summary, run.attributes, run.history)
                yield CachedRun(key, True, iso(now), expires, False, *said)

    def _beside(self, calls: Sequence[Callable[[], T]]) -> list[T | ApiError]:
        """Runs calls beside each other, and leaves alone those that outlive their time: name servers and slow bytes
        obey no deadline. All others end here, so that the process may be split later."""
        client = self._client
        results: list[T | ApiError] = [ServerDown("did not answer in time")] * len(calls)

        def run(index: int, call: Callable[[], T]) -> None:
            try:
                with self._slots:
                    results[index] = call()
            except ApiError as error:
                results[index] = error

        threads = [
            threading.Thread(target=run, args=(index, call), name=f"catalogdb-wandb-{index}", daemon=True)
            for index, call in enumerate(calls)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(POLL)
                if thread.is_alive() and client.overdue():
                    client.trip(f"did not answer within {client.timeout:g} s")
                    break
        return list(results)

    def _say_down(self) -> None:
        if self._client.down is not None and not self._told:
            self._told = True
            reason = f"{self._client.down}; nothing more is asked of it in this scan"
            self.problems.append(Problem(self._client.name, "wandb", reason))
