"""What two checkpoints don't have in common: what is known of them, and their tensors by name, shape and checksum."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from catalogdb.records import FIELD_NAMES, Checkpoint, CheckpointHeader, Comparison, Difference, DifferenceKind, Scalar

FIELDS = ("format", "size_bytes", "state", *FIELD_NAMES)

_Tensor = tuple[str, tuple[int, ...], "int | None"]
"""dtype, shape, checksum of the storage."""


def compare(first: Checkpoint, second: Checkpoint, headers: tuple[CheckpointHeader, CheckpointHeader]) -> Comparison:
    """Tensors are compared by their names without what wraps all of them (``module.``): that is a difference itself."""
    a, b = headers
    tensors, others = _tensors(a), _tensors(b)
    shared = tensors.keys() & others.keys()
    found = [
        *_values(
            "field", {name: getattr(first, name) for name in FIELDS}, {name: getattr(second, name) for name in FIELDS}
        ),
        *_values("metric", first.metrics, second.metrics),
        *_values("param", first.params, second.params),
        *_values("weights", _facts(a), _facts(b)),
        *_of_tensors(tensors, others),
    ]
    unknown = sum(
        tensors[name][:2] == others[name][:2] and None in (tensors[name][2], others[name][2]) for name in shared
    )
    return Comparison(tuple(found), len(tensors.keys() | others.keys()), unknown)


def _values(kind: DifferenceKind, first: Mapping[str, Scalar], second: Mapping[str, Scalar]) -> Iterator[Difference]:
    for name in dict.fromkeys([*first, *second]):
        one, other = first.get(name), second.get(name)
        if type(one) is not type(other) or not (one == other or _both_nan(one, other)):
            yield Difference(kind, name, one, other)


def _both_nan(one: object, other: object) -> bool:
    return isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)


def _facts(header: CheckpointHeader) -> dict[str, Scalar]:
    weights = header.weights
    return {
        "num_tensors": weights.num_tensors if weights else None,
        "num_parameters": weights.num_parameters if weights else None,
        "prefix": header.weights_prefix,
        "bytes": header.weights_bytes,
        "fingerprint": weights.fingerprint if weights else None,
    }


def _tensors(header: CheckpointHeader) -> dict[str, _Tensor]:
    start = len(header.weights_prefix or "")
    known = zip(header.tensors, header.checksums, strict=True)
    return {tensor.name[start:]: (tensor.dtype, tensor.shape, checksum) for tensor, checksum in known}


def _of_tensors(first: Mapping[str, _Tensor], second: Mapping[str, _Tensor]) -> Iterator[Difference]:
    for name in dict.fromkeys([*first, *second]):
        one, other = first.get(name), second.get(name)
        if one is not None and other is not None:
            known = one[2] is not None and other[2] is not None
            if one[:2] == other[:2] and (one[2] == other[2] or not known):
                continue
        yield Difference("tensor", name, _described(one), _described(other))


def _described(tensor: _Tensor | None) -> str | None:
    if tensor is None:
        return None
    dtype, shape, checksum = tensor
    return f"{dtype} {[*shape]}" + (f" {checksum:08x}" if checksum is not None else "")
