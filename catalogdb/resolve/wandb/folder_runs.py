"""The runs that checkpoints' references lead to in folders on disk, each file read on from where the cache says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from catalogdb.records import HistoryNeed, RunQuestion, RunRef
from catalogdb.resolve.wandb.fetching import RunCache
from catalogdb.resolve.wandb.join import needs_of
from catalogdb.resolve.wandb.local_run import LocalRun, Whose, key_of, read_local_run
from catalogdb.resolve.wandb.run_folders import RunFolder, RunFolders

Asked = Mapping[int, tuple[RunQuestion, RunRef]]
"""Questions by number, each with the reference whose run is wanted."""


class FolderRuns:
    """Finds runs in folders, and keeps them in the cache. ``ttl`` is in seconds."""

    def __init__(self, cache: RunCache, folders: RunFolders, *, ttl: float, now: Callable[[], datetime]) -> None:
        self._cache = cache
        self._folders = folders
        self._ttl = ttl
        self._now = now

    def find(self, asked: Asked) -> dict[int, LocalRun]:
        """By the questions' numbers; questions about one run have the same object."""
        groups: dict[tuple[tuple[RunFolder, ...], Whose], list[int]] = {}
        for index, (question, ref) in asked.items():
            sessions = self._folders.sessions(question.folder, ref.run_id)
            if sessions:
                whose = (ref.entity, ref.project) if ref.stated else ("", "")  # a folder's name is no project
                groups.setdefault((sessions, whose), []).append(index)
        found: dict[int, LocalRun] = {}
        for (sessions, whose), indexes in groups.items():
            local = self._read(sessions, whose, [asked[index][0] for index in indexes])
            if local is not None:
                found.update(dict.fromkeys(indexes, local))
        runs = list({id(local): local for local in found.values()}.values())
        self._cache.put([local.run for local in runs])
        self._cache.put_files([file for local in runs for file in local.files])  # last: it vouches for the rows
        return found

    def _read(self, sessions: Sequence[RunFolder], whose: Whose, questions: Sequence[RunQuestion]) -> LocalRun | None:
        """Rows that were found before aren't looked for again, unless training began anew, or went over a step
        again."""
        before = [file for file in (self._cache.find_file(session.log) for session in sessions) if file is not None]
        files = {file.path: file for file in before}

        def read(needs: Collection[HistoryNeed]) -> LocalRun | None:
            local = read_local_run(sessions, needs, files.get, whose=whose, now=self._now(), ttl=self._ttl)
            files.update({file.path: file for file in local.files} if local is not None else {})
            return local

        needs = {need for question in questions for need in needs_of(question) if need.key}
        key = key_of(sessions, before, whose)
        cached = next((run.history for run in self._cache.find([key.run_id]) if run.key == key), {})
        history = {
            need: rows for need, rows in cached.items() if need in needs and any(row.at == need.at for row in rows)
        }
        local = read(needs - history.keys())
        if local is not None and cached and not local.went_on:
            history = {}
            local = read(needs | cached.keys())
        if local is None:
            return None
        history.update(local.run.history)
        own = {need for question in questions for need in needs_of(question, local.run)} - needs
        more = read(own) if own else None
        if more is not None:
            history.update(more.run.history)
        return replace(local, run=replace(local.run, history=history))
