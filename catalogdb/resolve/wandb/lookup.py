"""The tier itself: many checkpoints' questions at once, answered from run folders, the cache, and the server."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from catalogdb.records import CachedRun, Finding, Problem, RunKey, RunQuestion, RunRef
from catalogdb.resolve.wandb.beside import ask_beside, ask_first
from catalogdb.resolve.wandb.fetching import Fetcher, RunCache
from catalogdb.resolve.wandb.folder_runs import Asked, FolderRuns
from catalogdb.resolve.wandb.join import RunKnowledge, agrees_by_score, confirms, join, may_follow, needs_of
from catalogdb.resolve.wandb.local_run import LocalRun
from catalogdb.resolve.wandb.run_folders import RunFolders
from catalogdb.timestamps import iso

CATCHES_UP = 30.0
"""Seconds after which a run's log, whose end lags behind its checkpoints, is read on."""


@dataclass(frozen=True, slots=True)
class RunDefaults:
    """Whose a bare id is, which project alone may be asked for, and how long answers last (seconds)."""

    entity: str = ""
    project: str = ""
    only: str = ""
    ttl: float = 3600.0

    def allows(self, entity: str, project: str) -> bool:
        """``only`` is PROJECT or ENTITY/PROJECT."""
        return not self.only or self.only in (project, f"{entity}/{project}")


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """What W&B knows about one checkpoint.

    ``failed``: it should have known, but could not be asked; ``stale``: what it says has expired, and could not be
    asked for again. ``again_at`` (ISO 8601, UTC) is when it may have something new to say.
    """

    finding: Finding | None = None
    failed: bool = False
    stale: bool = False
    again_at: str | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the run that one reference leads to. ``proven``: ids being unique in a project, and in a folder,
    it can be no other run of that id."""

    run: CachedRun | None = None
    proven: bool = True
    failed: bool = False
    stale: bool = False


class RunAnswers(NamedTuple):
    """One answer for each question, and what there is to say about them all."""

    answers: Sequence[RunAnswer]
    problems: Sequence[Problem]


class _Call:
    """What belongs to questions that are answered together: what is known of their runs, how often the cache had one
    and how often it had not, and who is told that a server is waited for."""

    def __init__(self, under_way: Callable[[], None] = lambda: None) -> None:
        self.under_way = under_way
        self.hits: Counter[RunKey] = Counter()
        self.misses: Counter[RunKey] = Counter()
        self._knowledge: dict[int, RunKnowledge] = {}

    def knowledge(self, run: CachedRun) -> RunKnowledge:
        if id(run) not in self._knowledge:
            self._knowledge[id(run)] = RunKnowledge(run)
        return self._knowledge[id(run)]

    def used(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """Hits and misses by (base_url, entity, project)."""
        used: dict[tuple[str, str, str], tuple[int, int]] = {}
        for key in self.hits.keys() | self.misses.keys():
            hits, misses = used.get(key.whose, (0, 0))
            used[key.whose] = hits + self.hits[key], misses + self.misses[key]
        return used


class RunLookup:
    """Answers questions from the nearest place that knows. ``fetcher`` is None where nothing may be asked; ``beside``
    says that the cache may be used from another thread.

    Safe to use from several threads. Never raises for what W&B, a run's files or the network do; ``problems`` says it
    once.
    """

    def __init__(
        self,
        cache: RunCache,
        folders: RunFolders,
        fetcher: Fetcher | None,
        defaults: RunDefaults,
        *,
        base_url: str,
        beside: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._cache = cache
        self._folders = folders
        self._on_disk = FolderRuns(cache, folders, ttl=defaults.ttl, now=now)
        self._fetcher = fetcher
        self._defaults = defaults
        self._base_url = base_url
        self._beside = beside
        self._now = now
        self._problems: deque[Problem] = deque()

    @property
    def asks(self) -> bool:
        """Whether the server may be asked at all."""
        return self._fetcher is not None

    @property
    def is_down(self) -> bool:
        """Whether the server has failed, so that nothing more is asked."""
        return self._fetcher is not None and self._fetcher.is_down

    def close(self) -> None:
        if self._fetcher is not None:
            self._fetcher.close()

    def begin(self, *, ask_anew: bool) -> None:
        """Another scan. ``ask_anew``: also of a server that failed in the last one."""
        self._folders.forget()
        if ask_anew and self._fetcher is not None:
            self._fetcher.ask_anew()

    def problems(self) -> list[Problem]:
        """What there is to say since the last call."""
        found: dict[Problem, None] = {}
        for said in (self._problems, self._fetcher.problems if self._fetcher is not None else ()):
            while said:
                found[said.popleft()] = None
        return list(found)

    def answer_beside(self, questions: Sequence[tuple[str, RunQuestion]]) -> Future[RunAnswers]:
        """Begins to answer (checkpoint's path, question) each. Where a server may be asked, and the cache bears it, it
        goes on beside the caller once nothing else has to be done but to wait for the server."""
        under_way = threading.Event()

        def told() -> RunAnswers:
            try:
                return RunAnswers(self.answer(questions, under_way.set), self.problems())
            finally:
                under_way.set()

        if self._fetcher is None or not self._beside:
            return ask_first(told)
        answers = ask_beside(told, "catalogdb-wandb")
        under_way.wait()
        return answers

    def answer(
        self, questions: Sequence[tuple[str, RunQuestion]], under_way: Callable[[], None] = lambda: None
    ) -> list[RunAnswer]:
        """One answer for each (checkpoint's path, question). ``under_way`` is told when a server is waited for."""
        call = _Call(under_way)
        answers = [RunAnswer() for _ in questions]
        alike: dict[int, list[RunAnswer]] = {}
        left = dict(enumerate(questions))
        place = 0
        while left := {index: asked for index, asked in left.items() if place < len(asked[1].refs)}:
            known = self._runs({index: (question, question.refs[place]) for index, (_, question) in left.items()}, call)
            for index, (path, question) in list(left.items()):
                answer, sure = self._judge(path, question, question.refs[place], known[index], call)
                if answer.finding is not None and not sure:
                    alike.setdefault(index, []).append(answer)
                    continue
                if answer.finding is not None:
                    del left[index]
                if answer.finding is not None or not answers[index].failed:
                    answers[index] = answer
            place += 1
        for index, (answer, *others) in alike.items():
            if answers[index].finding is None and not others:
                answers[index] = answer
        self._cache.count(call.used())
        return answers

    def find_run(self, ref: RunRef, folder: str) -> CachedRun | None:
        """The run that a reference leads to, as seen from a folder, whatever checkpoint it is of; None where it can't
        be had, or where W&B doesn't give it."""
        call = _Call()
        run = self._runs({0: (RunQuestion((ref,), folder), ref)}, call)[0].run
        self._cache.count(call.used())
        return run if run is not None and run.found else None

    def _judge(
        self, path: str, question: RunQuestion, ref: RunRef, known: _Known, call: _Call
    ) -> tuple[RunAnswer, bool]:
        """The answer, and whether it stands by itself: a run that only lies near, and has the same parameters, may be
        one of a sweep."""
        run = known.run
        if run is None:
            return RunAnswer(failed=known.failed), True
        if not run.found:
            return RunAnswer(again_at=run.expires_at), True
        joined = join(question, run)
        again_at = run.expires_at
        if again_at is not None and may_follow(question, run, joined):
            again_at = min(again_at, iso(self._now() + timedelta(seconds=CATCHES_UP)))
        agreed = agrees_by_score(question, joined)
        if not (agreed or (known.proven and (ref.stated or confirms(question, run, joined)))):
            return RunAnswer(again_at=again_at), True
        finding = call.knowledge(run).finding(question, ref, joined, path)
        return RunAnswer(finding, known.failed, known.stale, again_at), agreed or ref.source != "run folder"

    def _runs(self, asked: Asked, call: _Call) -> dict[int, _Known]:
        """For each question the run that its reference leads to: on disk, in the cache, on the server."""
        local = self._local_runs(asked, call)
        known = {index: _Known(run.run) for index, run in local.items() if _serves(run, asked[index][0])}
        rest = {index: asked[index] for index in asked if index not in known}
        if rest:
            for index, other in self._cached_or_fetched(rest, call).items():
                elsewhere = other.run is not None and other.run.found
                known[index] = _Known(local[index].run) if index in local and not elsewhere else other
        return known

    def _local_runs(self, asked: Asked, call: _Call) -> dict[int, LocalRun]:
        found = self._on_disk.find(asked)
        for local in {id(local): local for local in found.values()}.values():
            call.misses[local.run.key] += 1
            self._problems.extend(Problem(path, "wandb", reason) for path, reason in local.problems)
        return found

    def _cached_or_fetched(self, asked: Asked, call: _Call) -> dict[int, _Known]:
        known: dict[int, _Known] = {}
        cached = self._find({ref.run_id for _, ref in asked.values()})
        now = iso(self._now())
        wanted: dict[RunKey, list[int]] = {}
        old: dict[RunKey, CachedRun | None] = {}
        proven: dict[int, bool] = {}
        for index, (question, ref) in asked.items():
            run, proven[index] = self._matching(cached.get(ref.run_id, ()), ref, question.folder)
            if run is not None and _is_enough(run, question, now):
                known[index] = _Known(run, proven[index])
                call.hits[run.key] += 1
                continue
            key = self._key(ref, run)
            if key is None:
                unasked = run is None and self._fetcher is None
                expired = run is not None and _has_expired(run, now)
                known[index] = _Known(run, proven[index], failed=unasked, stale=expired)
            else:
                wanted.setdefault(key, []).append(index)
                old[key] = run if run is not None and run.found else None
        if wanted and self._fetcher is not None:
            questions = {key: [asked[index][0] for index in indexes] for key, indexes in wanted.items()}
            fetched = self._fetcher.fetch(
                {
                    key: sorted({need for question in some for need in needs_of(question)})
                    for key, some in questions.items()
                },
                lambda run: all(_is_enough(run, question, now) for question in questions[run.key]),
                under_way=call.under_way,
            )
            for key, indexes in wanted.items():
                run = fetched.get(key)
                call.misses[key] += run is not None
                kept = _Known(run) if run is not None else _Known(old[key], failed=old[key] is None, stale=True)
                for index in indexes:
                    named = bool(asked[index][1].project or self._defaults.project)
                    known[index] = replace(kept, proven=proven[index] or (named and run is not None))
        return known

    def _find(self, run_ids: Collection[str]) -> dict[str, list[CachedRun]]:
        found: dict[str, list[CachedRun]] = {}
        for run in self._cache.find(run_ids):
            if run.key.folder is not None or run.key.base_url == self._base_url:
                found.setdefault(run.key.run_id, []).append(run)
        return found

    def _matching(self, runs: Sequence[CachedRun], ref: RunRef, folder: str) -> tuple[CachedRun | None, bool]:
        """The cached run that a reference means, as seen from a folder, None where it may be one of two; and whether it
        can't be another one."""
        entity, project = ref.entity or self._defaults.entity, ref.project or self._defaults.project
        mine = [run for run in runs if _may_be_of(run.key, entity, project)]
        found = [run for run in mine if run.found]
        here = [run for run in found if run.key.folder is not None and self._folders.sees(folder, run.key.folder)]
        if here:
            entity, project = here[0].key.entity, here[0].key.project
        served = [run for run in found if run.key.folder is None and _may_be_of(run.key, entity, project)]
        chosen = here if len(here) > 1 else served or here or found
        if len({run.key for run in chosen}) > 1:
            return None, False
        return next(iter(chosen or mine), None), bool(here or (project and chosen is served))

    def _key(self, ref: RunRef, cached: CachedRun | None) -> RunKey | None:
        """Whose run to ask for; None where nobody says, or where it isn't to be asked for."""
        if self._fetcher is None:
            return None
        own = cached.key if cached is not None else RunKey("", "", "", ref.run_id)
        project = ref.project or own.project or self._defaults.project
        if not project:
            return None
        entity = ref.entity or own.entity or self._defaults.entity or self._fetcher.entity()
        if not entity or not self._defaults.allows(entity, project):
            return None
        return RunKey(self._base_url, entity, project, ref.run_id)


def _serves(local: LocalRun, question: RunQuestion) -> bool:
    """Whether the server could say more than the run's own folder: where its end never reached the disk."""
    if local.complete or not local.online or question.at is None:
        return True
    return any(
        row.at == question.at for need in needs_of(question, local.run) for row in local.run.history.get(need, ())
    )


def _may_be_of(key: RunKey, entity: str, project: str) -> bool:
    return (not entity or key.entity in ("", entity)) and (not project or key.project in ("", project))


def _has_expired(run: CachedRun, now: str) -> bool:
    return run.expires_at is not None and run.expires_at <= now


def _is_enough(run: CachedRun, question: RunQuestion, now: str) -> bool:
    if _has_expired(run, now):
        return False
    return not run.found or all(need in run.history for need in needs_of(question, run))
