"""Readings as they pass between a scan and the processes that read for it: plain values, through ``marshal``.

Nothing of it is kept, and nothing but values can come out of it. What the checkpoints of a run share, shapes, origins
and parameters, passes once.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from typing import Any

from catalogdb.reading.candidate import Reading
from catalogdb.records import (
    Candidate,
    Origin,
    ParamGroup,
    Problem,
    Resolution,
    RunQuestion,
    RunRef,
    RunScore,
    Shape,
    Source,
    Stamp,
    Values,
    Weights,
)

MAX_SHARED = 4_000
"""Origins, shapes or groups that both ends remember before they start anew."""

VANISHED, READ_YOURSELF = "vanished", "read yourself"


def encode_candidates(candidates: Sequence[Candidate]) -> bytes:
    return marshal.dumps(
        [
            (
                candidate.root,
                candidate.rel_path,
                tuple(candidate.stamp),
                tuple((role, path, tuple(stamp)) for role, path, stamp in candidate.sources),
                candidate.link_target,
                candidate.parts,
            )
            for candidate in candidates
        ]
    )


def decode_candidates(message: bytes) -> list[Candidate]:
    return [
        Candidate(
            root,
            rel_path,
            Stamp(*stamp),
            tuple(Source(role, path, Stamp(*source_stamp)) for role, path, source_stamp in sources),
            link_target,
            parts,
        )
        for root, rel_path, stamp, sources, link_target, parts in marshal.loads(message)
    ]


class _Sent:
    """What was sent already, by number. Its members are known again by identity."""

    __slots__ = ("_numbers", "new")

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self.new: list[Any] = []

    def number_of(self, member: Any) -> int:
        number = self._numbers.get(member)
        if number is None:
            number = self._numbers[member] = len(self._numbers)
            self.new.append(member)
        return number

    def __len__(self) -> int:
        return len(self._numbers)


class ReadingEncoder:
    """The end that reads. A reading whose tier failed isn't sent: the other end reads that one itself."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._origins = _Sent()
        self._shapes = _Sent()
        self._groups = _Sent()
        self._sets = _Sent()

    def encode(self, readings: Sequence[Reading]) -> bytes:
        anew = max(len(self._groups), len(self._sets), len(self._shapes), len(self._origins)) > MAX_SHARED
        if anew:
            self._forget()
        rows = [self._row(reading) for reading in readings]
        sets = [[self._groups.number_of(group) for group in groups] for groups in self._sets.new]
        groups = [
            (group.digest, self._shapes.number_of(group.values.shape), group.values.content)
            for group in self._groups.new
        ]
        shapes = [(shape.names, list(map(self._origins.number_of, shape.origins))) for shape in self._shapes.new]
        origins = list(map(tuple, self._origins.new))
        message = marshal.dumps((anew, origins, shapes, groups, sets, rows))
        for sent in (self._origins, self._shapes, self._groups, self._sets):
            sent.new.clear()
        return message

    def _row(self, reading: Reading) -> tuple[Any, ...]:
        resolution = reading.resolution
        if resolution is None:
            return (VANISHED,)
        if reading.answers:
            return (READ_YOURSELF,)
        fields, metrics, weights = Values.of(resolution.fields), Values.of(resolution.metrics), resolution.weights
        return (
            reading.header_state,
            reading.reason,
            resolution.state,
            resolution.format,
            resolution.source,
            self._shapes.number_of(fields.shape),
            fields.content,
            self._shapes.number_of(metrics.shape),
            metrics.content,
            self._sets.number_of(resolution.params),
            weights and (weights.num_parameters, weights.num_tensors, dict(weights.dtypes), weights.fingerprint),
            [(problem.path, problem.tier, problem.reason) for problem in resolution.problems],
            resolution.recheck,
            reading.question and _plain(reading.question),
        )


class ReadingDecoder:
    """The end that asked. One decoder for each encoder."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._origins: list[Origin] = []
        self._shapes: list[Shape] = []
        self._groups: list[ParamGroup] = []
        self._sets: list[tuple[ParamGroup, ...]] = []

    def decode(self, message: bytes, candidates: Sequence[Candidate]) -> list[Reading | None]:
        """In the order of ``candidates``; None for one that has to be read here."""
        anew, new_origins, new_shapes, new_groups, new_sets, rows = marshal.loads(message)
        if anew:
            self._forget()
        origins = self._origins
        origins += [Origin(*origin) for origin in new_origins]
        self._shapes += [Shape(names, tuple([origins[at] for at in places])) for names, places in new_shapes]
        self._groups += [
            ParamGroup(Values(self._shapes[shape], content), digest) for digest, shape, content in new_groups
        ]
        self._sets += [tuple([self._groups[at] for at in members]) for members in new_sets]
        return [self._reading(candidate, row) for candidate, row in zip(candidates, rows, strict=True)]

    def _reading(self, candidate: Candidate, row: tuple[Any, ...]) -> Reading | None:
        if row[0] == VANISHED:
            return Reading(candidate)
        if row[0] == READ_YOURSELF:
            return None
        (
            header_state,
            reason,
            state,
            format_,
            source,
            shape,
            fields,
            logged,
            metrics,
            params,
            weights,
            problems,
            recheck,
            question,
        ) = row
        resolution = Resolution(
            candidate,
            state,
            format_,
            source,
            Values(self._shapes[shape], fields),
            Values(self._shapes[logged], metrics),
            self._sets[params],
            Weights(*weights) if weights else None,
            tuple([Problem(*problem) for problem in problems]),
            recheck=recheck,
        )
        return Reading(candidate, header_state, reason, resolution, question=question and _question(question))


def _plain(question: RunQuestion) -> tuple[Any, ...]:
    refs, folder, epoch, at, sure, scores, params, step = question
    return [tuple(ref) for ref in refs], folder, epoch, at, sure, [tuple(score) for score in scores], dict(params), step


def _question(plain: tuple[Any, ...]) -> RunQuestion:
    refs, folder, epoch, at, sure, scores, params, step = plain
    return RunQuestion(
        tuple(RunRef(*ref) for ref in refs),
        folder,
        epoch,
        at,
        sure,
        tuple(RunScore(*score) for score in scores),
        params,
        step,
    )
