"""A run out of its folders on disk: online or offline, finished, killed or still going; several sessions of one id."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from catalogdb.documents import read_document
from catalogdb.errors import MetadataError
from catalogdb.records import OF_FOLDER, CachedRun, HistoryNeed, HistoryRow, RunFile, RunKey
from catalogdb.resolve.wandb.record_items import values_of
from catalogdb.resolve.wandb.record_log import NotARecordLog
from catalogdb.resolve.wandb.run_file import continues, read_run_file
from catalogdb.resolve.wandb.run_folders import RunFolder
from catalogdb.timestamps import iso, iso_of_seconds

LAST_LOGGED = "last_logged"
"""Attribute of a run from its folders: what it logged under its last step."""

Whose = tuple[str, str]
"""Entity and project, each empty where nobody says."""

MAX_SUMMARY = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalRun:
    """``complete``: its last session ended by itself, so that nothing it logged is missing here. ``went_on``: each log
    is one that was known, and has gone on from there, so that rows read before still hold."""

    run: CachedRun
    files: tuple[RunFile, ...]
    complete: bool
    online: bool
    went_on: bool
    problems: tuple[tuple[str, str], ...] = ()


def read_local_run(
    sessions: Sequence[RunFolder],
    needs: Collection[HistoryNeed],
    known: Callable[[str], RunFile | None],
    *,
    whose: Whose = ("", ""),
    now: datetime,
    ttl: float,
) -> LocalRun | None:
    """The run of ``sessions`` (oldest first), without those of another than ``whose`` entity or project; None where no
    file of them says anything, or where they are of two projects. What their configs state differently is left out.

    A run without an end counts as running until its file was left alone for ``ttl`` seconds, then as crashed.
    """
    files: list[RunFile] = []
    went_on = True
    problems: list[tuple[str, str]] = []
    rows: dict[HistoryNeed, list[HistoryRow]] = {need: [] for need in needs}
    configs: list[Mapping[str, Any]] = []
    summary: dict[str, Any] = {}
    told: dict[str, Any] = {}
    owners: set[Whose] = set()
    for session in sessions:
        said: Mapping[str, Any] = {}
        before = known(session.log)
        try:
            file, answers = read_run_file(session.log, known=before, needs=needs)
        except FileNotFoundError:
            pass
        except (OSError, NotARecordLog) as error:
            reason = f"can't be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            problems.append((session.log, reason))
        else:
            owner = _owner(file)
            if not _agree(owner, whose):
                continue
            owners.add(owner)
            files.append(file)
            went_on = went_on and before is not None and continues(before, file)
            said = file.content
            for need, found in answers.items():
                rows[need].extend(found)
        configs.append(values_of(said.get("config", {})) or _config_file(session))
        summary.update(values_of(said.get("summary", {})) or _summary_file(session))
        told.update(said.get("run", {}))
    config = _common(configs)
    if not files and not config and not summary:
        return None
    if not all(_agree(one, other) for one in owners for other in owners):
        return None
    last = files[-1].content if files else {}
    state, expires_at = _state(last, files, now=now, ttl=ttl)
    run = CachedRun(
        _key(sessions[-1], told),
        found=True,
        fetched_at=iso(now),
        expires_at=expires_at,
        state=state,
        config=config,
        summary=summary,
        attributes={**_attributes(told), **({LAST_LOGGED: values_of(last["last"][1])} if "last" in last else {})},
        history={need: _latest(found) for need, found in rows.items()},
    )
    complete = last.get("exit") is not None
    online = all(session.online for session in sessions)
    return LocalRun(run, tuple(files), complete, online, went_on, tuple(problems))


def key_of(sessions: Sequence[RunFolder], files: Collection[RunFile], whose: Whose) -> RunKey:
    """The run's key, as far as the files that were read tell."""
    told: dict[str, Any] = {}
    for file in files:
        if _agree(_owner(file), whose):
            told.update(file.content.get("run", {}))
    return _key(sessions[-1], told)


def _owner(file: RunFile) -> Whose:
    told = file.content.get("run", {})
    return told.get("entity", ""), told.get("project", "")


def _agree(one: Whose, other: Whose) -> bool:
    """What one of them doesn't know contradicts nothing."""
    return all(not here or not there or here == there for here, there in zip(one, other, strict=True))


def _common(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Entries that no two differ in, within mappings as well."""
    common: dict[str, Any] = {}
    for name in dict.fromkeys(name for config in configs for name in config):
        values = [config[name] for config in configs if name in config]
        if all(isinstance(value, dict) for value in values):
            common[name] = _common(values)
        elif all(value == values[0] for value in values):
            common[name] = values[0]
    return common


def _key(last: RunFolder, told: Mapping[str, Any]) -> RunKey:
    return RunKey(OF_FOLDER + last.stage, told.get("entity", ""), told.get("project", ""), last.run_id)


def _latest(rows: Sequence[HistoryRow]) -> tuple[HistoryRow, ...]:
    """Of all sessions' rows those of the greatest step; the last session's last."""
    at = max((row.at for row in rows), default=0)
    return tuple(row for row in rows if row.at == at)


def _state(
    last: Mapping[str, Any], files: Sequence[RunFile], *, now: datetime, ttl: float
) -> tuple[str | None, str | None]:
    code = last.get("exit")
    if code is not None:
        return ("finished" if code == 0 else "failed"), None
    if not files:
        return None, None
    left_alone = datetime.fromtimestamp(files[-1].stamp.mtime_ns / 1e9, timezone.utc) + timedelta(seconds=ttl)
    return ("running", iso(left_alone)) if left_alone > now else ("crashed", None)


def _attributes(told: Mapping[str, Any]) -> dict[str, Any]:
    names = ("display_name", "group", "job_type", "sweep", "tags")
    found = {name: told[name] for name in names if name in told}
    created = iso_of_seconds(told.get("created", 0))
    return found if created is None else {**found, "created_at": created}


def _config_file(session: RunFolder) -> dict[str, Any]:
    """``files/config.yaml``: ``key: {value: …}``. An online run has it once it finished."""
    try:
        document = read_document(f"{session.path}/files/config.yaml")
    except (OSError, MetadataError):
        return {}
    return {name: entry["value"] for name, entry in document.items() if isinstance(entry, dict) and "value" in entry}


def _summary_file(session: RunFolder) -> dict[str, Any]:
    path = f"{session.path}/files/wandb-summary.json"
    try:
        if os.path.getsize(path) > MAX_SUMMARY:
            return {}
        document = read_document(path, max_bytes=MAX_SUMMARY)
    except (OSError, MetadataError):
        return {}
    return document
