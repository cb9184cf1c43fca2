"""What checkpoints are made of once it was read, and how one is made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from catalogdb.records import Checkpoint, Origin, Scalar, Weights
from catalogdb.store.provenance import Provenance

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sourced(Generic[T]):
    """Parameters, or metrics, by their names, and where they come from; a metric without a value is NaN."""

    values: dict[str, T]
    origins: dict[str, Origin]


class Arrangement(NamedTuple):
    """How stored values are put in order: what the user changed first, then by name. ``places`` are where the values
    of ``names`` are stored.

    Checkpoints share a few of these: all whose values have the same names and come from the same places.
    """

    names: tuple[str, ...]
    places: tuple[int, ...]
    origins: dict[str, Origin]

    @classmethod
    def make(cls, names: Sequence[str], origins: Sequence[Origin]) -> Arrangement:
        places = sorted(range(len(names)), key=lambda place: (not _is_override(origins[place]), names[place]))
        ordered = tuple(names[place] for place in places)
        return cls(ordered, tuple(places), {names[place]: origins[place] for place in places})

    def apply(self, values: Sequence[T]) -> Sourced[T]:
        return Sourced(dict(zip(self.names, map(values.__getitem__, self.places), strict=True)), self.origins)


class Parts(NamedTuple):
    """What a checkpoint is made of. These are shared, by several checkpoints and by one that is made again: each that
    is made has copies of what a user can change."""

    fields: tuple[Any, ...]
    """Those of a Checkpoint before ``metrics``, in its order."""
    metrics: Sourced[float]
    params: Sourced[Scalar]
    origins: Mapping[str, Origin]
    weights: tuple[int, int, str, str | None] | None
    link_target: str | None
    tags: dict[str, str | None]
    aliases: tuple[str, ...]
    note: str | None
    problems: tuple[str, ...]

    def checkpoint(self) -> Checkpoint:
        origins = (("", self.origins), ("metrics.", self.metrics.origins), ("params.", self.params.origins))
        values = (
            *self.fields,
            self.metrics.values.copy(),
            self.params.values.copy(),
            Provenance(origins, self.fields[1]),
            None if self.weights is None else _weights(*self.weights),
            self.link_target,
            self.tags.copy(),
            self.aliases,
            self.note,
            self.problems,
        )
        return Checkpoint(*values)  # in three quarters of the time that it takes by name


def _is_override(origin: Origin) -> bool:
    return origin.role == "params" and origin.path.endswith(".hydra/overrides.yaml")


def _weights(num_parameters: int, num_tensors: int, dtypes: str, fingerprint: str | None) -> Weights:
    return Weights(num_parameters, num_tensors, dict(_elements(dtypes)), fingerprint)


@lru_cache(maxsize=64)
def _elements(dtypes: str) -> tuple[tuple[str, int], ...]:
    """Elements by dtype, of which most models have one of a few."""
    return tuple(json.loads(dtypes).items())
