"""What two checkpoints don't have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from catalogdb.records.checkpoint import json_value
from catalogdb.records.terms import Scalar

DifferenceKind = Literal["field", "metric", "param", "weights", "tensor"]


@dataclass(frozen=True, slots=True)
class Difference:
    """What two checkpoints don't have in common. None stands for what one of them hasn't got.

    A tensor's value is ``float32 [64, 3, 7, 7] 1a2b3c4d``: dtype, shape, and the CRC-32 of its storage where known.
    """

    kind: DifferenceKind
    name: str
    first: Scalar
    second: Scalar

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "first": json_value(self.first),
            "second": json_value(self.second),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two checkpoints side by side. ``unknown`` counts tensors of equal shape whose contents couldn't be compared;
    ``unread`` says of which files the weights can't be read, and why: then no weights are compared."""

    differences: tuple[Difference, ...]
    tensors: int
    unknown: int
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contrast:
    """What isn't the same for several checkpoints: a value for each of them, in the order in which they were named.

    None stands for what one of them hasn't got.
    """

    kind: DifferenceKind
    name: str
    values: tuple[Scalar, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "values": [json_value(value) for value in self.values]}
