"""What a run's ``.wandb`` file says: its config and summary, and the history rows that checkpoints need.

The SDK has no Python reader any more (0.31). Three records a call of ``log``: one history, two summaries. History
items have their key in ``nested_key``, in any order.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, BinaryIO

from catalogdb.records import HistoryNeed, HistoryRow, RunFile, Stamp, stamp_of
from catalogdb.resolve.wandb.record_items import (
    CONFIG,
    EXIT,
    HISTORY,
    RUN,
    SUMMARY,
    Texts,
    history_texts,
    kind_of,
    parse_record,
    set_text,
    update_texts,
    values_of,
    whole_number,
)
from catalogdb.resolve.wandb.record_log import FILE_HEADER, check_header, iter_records
from catalogdb.resolve.wandb.wire_marks import KnownMarks, mark_of, text_behind

AXIS = "trainer/global_step"
"""Lightning's name for the trainer's step; the x axis of all it logs."""

SUMMARIES = 4096
"""Summary records that are taken in together."""

MAX_LAST = 32
"""Rows at the end that are looked through for those of the last step."""

MAX_NUMBER = 64
"""Characters of a number."""

_AXIS_MARK = mark_of([AXIS]) or b""

Answers = dict[HistoryNeed, tuple[HistoryRow, ...]]

Row = tuple[int, bytes]
"""The trainer's step, and the record."""


def read_run_file(path: str, *, known: RunFile | None, needs: Collection[HistoryNeed]) -> tuple[RunFile, Answers]:
    """The file's content so far, and for each need the rows that answer it.

    ``known`` is how far the file was read before: its reading goes on there, unless the file isn't the same any more,
    or a need lies before that place. Raises OSError, and NotARecordLog for a file that is none.
    """
    with open(path, "rb") as file:  # a path is a text everywhere here
        stamp = stamp_of(os.fstat(file.fileno()))
        reading = _Reading(needs)
        start = len(FILE_HEADER)
        if known is not None and _can_go_on(known, stamp, needs):
            reading.resume(known.content)
            start = known.read_to
        elif not check_header(file):
            return RunFile(path, stamp, 0, {}), {need: () for need in needs}
        read_to = reading.read(file, start, stamp.size)
        return RunFile(path, stamp, read_to, reading.content()), reading.answers()


def continues(known: RunFile, file: RunFile) -> bool:
    """Whether the rows that answered needs in ``known`` answer them in ``file``, the same log read later."""
    return _grew(known, file.stamp) and not file.content.get("went_back")


def _grew(known: RunFile, stamp: Stamp) -> bool:
    """Whether it's the log that was known; one that an earlier version read is none."""
    same = known.stamp.inode == stamp.inode and known.stamp.size <= stamp.size
    return same and known.read_to > 0 and "last" in known.content


def _can_go_on(known: RunFile, stamp: Stamp, needs: Collection[HistoryNeed]) -> bool:
    if not _grew(known, stamp):
        return False
    tail = known.content["tail"]
    return all(need.key in tail and (not tail[need.key] or need.at >= tail[need.key][0][0]) for need in needs)


class _Reading:
    """One pass over a file's records."""

    def __init__(self, needs: Collection[HistoryNeed]) -> None:
        self._run: dict[str, Any] = {}
        self._config: Texts = {}
        self._summary: Texts = {}
        self._exit: int | None = None
        self._went_back = False
        self._recent: deque[bytes] = deque(maxlen=MAX_LAST)
        self._last: tuple[str | None, Texts] = None, {}
        self._needs = list(needs)
        self._steps: dict[str, list[int]] = {}
        for need in sorted(set(needs), key=lambda need: need.at):
            self._steps.setdefault(need.key, []).append(need.at)
        self._tail: dict[str, list[Row]] = {key: [] for key in self._steps}
        self._slots: dict[HistoryNeed, list[Row]] = {}

    def resume(self, content: Mapping[str, Any]) -> None:
        self._run = dict(content["run"])
        self._config = dict(content["config"])
        self._summary = dict(content["summary"])
        self._exit = content["exit"]
        self._went_back = content["went_back"]
        self._last = tuple(content["last"])
        for key, rows in content["tail"].items():
            self._tail[key] = [(at, b64decode(data)) for at, data in rows]
            for row in self._tail[key]:
                self._keep_wanted(key, row)

    def content(self) -> dict[str, Any]:
        """``tail`` has the last rows of each key that was ever needed: where a later reading of the file goes on.
        ``went_back``: training went over a step again. ``last``: the last step that was logged under, and what was.
        """
        return {
            "run": self._run,
            "config": self._config,
            "summary": self._summary,
            "exit": self._exit,
            "went_back": self._went_back,
            "last": self._last_logged(),
            "tail": {key: [(at, b64encode(data).decode()) for at, data in rows] for key, rows in self._tail.items()},
        }

    def _last_logged(self) -> tuple[str | None, Texts]:
        step, logged = None, Texts()
        for data in reversed(self._recent):
            texts = history_texts(data)
            here = texts.get(AXIS) or texts.get("global_step")
            step = here if step is None else step
            if here is not None and here != step:
                return step, logged
            if here is not None:
                logged = {**{name: text for name, text in texts.items() if len(text) <= MAX_NUMBER}, **logged}
        before, earlier = self._last
        if step is None:
            return self._last
        return step, {**earlier, **logged} if step == before else logged

    def read(self, file: BinaryIO, start: int, end: int) -> int:
        """Returns the offset behind the last whole record."""
        wanted = [(key, mark_of([key]), key.rpartition(".")[2].encode()) for key in self._tail]
        summaries: list[bytes] = []
        read_to = start
        for data, read_to in iter_records(file, start, end):  # noqa: B007  # the last one is returned
            kind = kind_of(data)
            if kind == HISTORY:
                self._exit = None  # a run that logs hasn't ended
                self._recent.append(data)
                for key, mark, name in wanted:
                    if name in data:
                        self._history(data, key, mark)
            elif kind == SUMMARY:
                summaries.append(data)
                if len(summaries) == SUMMARIES:
                    self._summarise(summaries)
            elif kind in (CONFIG, RUN, EXIT):
                record = parse_record(data)
                if record is not None:
                    self._other(kind, record)
        self._summarise(summaries)
        return read_to

    def _summarise(self, summaries: list[bytes]) -> None:
        """Takes records in, the last one first, and parses those alone that have a key which no later one has."""
        known = KnownMarks()
        changes: dict[str, str | None] = {}
        for data in reversed(summaries):
            if known.cover(data):
                continue
            record = parse_record(data)
            if record is None:
                continue
            for item in record.summary.update:
                parts = list(item.nested_key)
                changes.setdefault(item.key or ".".join(parts), item.value_json)
                if parts:
                    known.add(parts)
            for item in record.summary.remove:
                changes.setdefault(item.key or ".".join(item.nested_key), None)
        summaries.clear()
        for key, text in changes.items():
            set_text(self._summary, key, text)

    def _other(self, kind: int, record: Any) -> None:
        if kind == CONFIG:
            update_texts(self._config, record.config)
        elif kind == RUN:
            self._start(record.run)
        else:
            self._exit = record.exit.exit_code

    def answers(self) -> Answers:
        """For each need the rows of the greatest step that isn't beyond it."""
        found: Answers = {}
        for need in self._needs:
            steps = self._steps[need.key]
            for step in reversed(steps[: bisect_left(steps, need.at) + 1]):
                rows = self._slots.get(HistoryNeed(need.key, step))
                if rows:
                    found[need] = tuple(_row(at, data) for at, data in rows)
                    break
            else:
                found[need] = ()
        return found

    def _start(self, run: Any) -> None:
        told = {
            "run_id": run.run_id,
            "entity": run.entity,
            "project": run.project,
            "display_name": run.display_name,
            "group": run.run_group,
            "job_type": run.job_type,
            "sweep": run.sweep_id,
            "tags": list(run.tags),
            "created": run.start_time.seconds if run.HasField("start_time") else None,
        }
        self._run.update({name: value for name, value in told.items() if value})
        update_texts(self._config, run.config)
        update_texts(self._summary, run.summary)

    def _history(self, data: bytes, key: str, mark: bytes | None) -> None:
        """A row that has ``key``: only its step is looked at, the rest waits until the row is an answer."""
        text = text_behind(data, _AXIS_MARK) if mark is not None and mark in data else None
        if text is None:
            texts = history_texts(data)
            text = texts.get(AXIS) if key in texts else None
        at = whole_number(text)
        if at is not None:
            tail = self._tail[key]
            self._went_back = self._went_back or (bool(tail) and at <= tail[0][0])
            _keep_greatest(tail, (at, data))
            self._keep_wanted(key, (at, data))

    def _keep_wanted(self, key: str, row: Row) -> None:
        """Each row goes into the slot of the smallest need that it may answer."""
        steps = self._steps.get(key, [])
        place = bisect_left(steps, row[0])
        if place < len(steps):
            _keep_greatest(self._slots.setdefault(HistoryNeed(key, steps[place]), []), row)


def _keep_greatest(rows: list[Row], row: Row) -> None:
    """Of rows those of the greatest step of the trainer: one, or several where training went over it again."""
    if rows and rows[0][0] != row[0]:
        if rows[0][0] > row[0]:
            return
        rows.clear()
    rows.append(row)


def _row(at: int, data: bytes) -> HistoryRow:
    texts = history_texts(data)
    return HistoryRow(whole_number(texts.get("_step")) or 0, at, values_of(texts))
