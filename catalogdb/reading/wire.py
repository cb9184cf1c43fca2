"""Readings as they pass between a scan and the processes that read for it: plain values, through ``marshal``.

Nothing of it is kept, and nothing but values can come out of it. Origins and parameter groups, which the checkpoints
of a run share, pass once.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from typing import Any

from catalogdb.reading.candidate import Reading
from catalogdb.records import Candidate, Origin, Param, ParamGroup, Problem, Resolution, Source, Stamp, Value, Weights

MAX_GROUPS = 2_000
"""Groups that both ends remember before they start anew."""

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


class _Table:
    """Objects that a message mentions more than once, by identity: those that are shared are the same objects."""

    __slots__ = ("_places", "members")

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self.members: list[Any] = []

    def place_of(self, member: object) -> int:
        place = self._places.get(id(member))
        if place is None:
            place = self._places[id(member)] = len(self.members)
            self.members.append(member)
        return place


class ReadingEncoder:
    """The end that reads. A reading whose tier failed isn't sent: the other end reads that one itself."""

    def __init__(self) -> None:
        self._sent: set[str] = set()

    def encode(self, readings: Sequence[Reading]) -> bytes:
        anew = len(self._sent) > MAX_GROUPS
        if anew:
            self._sent.clear()
        origins = _Table()
        groups = _Table()
        new_groups: list[tuple[Any, ...]] = []
        rows = [self._row(reading, origins, groups, new_groups) for reading in readings]
        return marshal.dumps((anew, [tuple(origin) for origin in origins.members], new_groups, rows))

    def _row(
        self,
        reading: Reading,
        origins: _Table,
        groups: _Table,
        new_groups: list[tuple[Any, ...]],
    ) -> tuple[Any, ...]:
        resolution = reading.resolution
        if resolution is None:
            return (VANISHED,)
        if reading.answers:
            return (READ_YOURSELF,)

        def values(known: Any) -> list[tuple[Any, ...]]:
            return [(name, value, origins.place_of(origin)) for name, (value, origin) in known.items()]

        for group in resolution.params:
            if groups.place_of(group) == len(new_groups):
                params = None
                if group.digest not in self._sent:
                    self._sent.add(group.digest)
                    params = [(name, value, origins.place_of(origin)) for name, value, origin in group.params]
                new_groups.append((group.digest, params))
        weights = resolution.weights
        return (
            reading.header_state,
            reading.reason,
            resolution.state,
            resolution.format,
            resolution.source,
            values(resolution.fields),
            values(resolution.metrics),
            [groups.place_of(group) for group in resolution.params],
            weights and (weights.num_parameters, weights.num_tensors, dict(weights.dtypes), weights.fingerprint),
            [(problem.path, problem.tier, problem.reason) for problem in resolution.problems],
            resolution.recheck,
        )


class ReadingDecoder:
    """The end that asked. One decoder for each encoder."""

    def __init__(self) -> None:
        self._groups: dict[str, ParamGroup] = {}

    def decode(self, message: bytes, candidates: Sequence[Candidate]) -> list[Reading | None]:
        """In the order of ``candidates``; None for one that has to be read here."""
        anew, plain_origins, new_groups, rows = marshal.loads(message)
        if anew:
            self._groups.clear()
        origins = [Origin(*origin) for origin in plain_origins]
        groups = [self._group(digest, params, origins) for digest, params in new_groups]
        return [_reading(candidate, row, origins, groups) for candidate, row in zip(candidates, rows, strict=True)]

    def _group(self, digest: str, params: list[tuple[Any, ...]] | None, origins: list[Origin]) -> ParamGroup:
        if params is not None:
            made = tuple(Param(name, value, origins[at]) for name, value, at in params)
            self._groups[digest] = ParamGroup(made, digest)
        return self._groups[digest]


def _reading(
    candidate: Candidate, row: tuple[Any, ...], origins: list[Origin], groups: list[ParamGroup]
) -> Reading | None:
    if row[0] == VANISHED:
        return Reading(candidate)
    if row[0] == READ_YOURSELF:
        return None
    header_state, reason, state, format_, source, fields, metrics, params, weights, problems, recheck = row
    resolution = Resolution(
        candidate,
        state,
        format_,
        source,
        {name: Value(value, origins[at]) for name, value, at in fields},
        {name: Value(value, origins[at]) for name, value, at in metrics},
        tuple([groups[place] for place in params]),
        Weights(*weights) if weights else None,
        tuple(Problem(*problem) for problem in problems),
        recheck=recheck,
    )
    return Reading(candidate, header_state, reason, resolution)
