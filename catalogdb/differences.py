"""What checkpoints don't have in common: what is known of them, and of two also their tensors by shape and checksum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from catalogdb.records import (
    FIELD_NAMES,
    Checkpoint,
    CheckpointHeader,
    Comparison,
    Contrast,
    Difference,
    DifferenceKind,
    Scalar,
)

FIELDS = ("format", "size_bytes", "state", *FIELD_NAMES)

_Tensor = tuple[str, tuple[int, ...], "int | None"]
"""dtype, shape, checksum of the storage."""


def compare(first: Checkpoint, second: Checkpoint, headers: tuple[CheckpointHeader, CheckpointHeader]) -> Comparison:
    """Tensors are compared by their names without what wraps all of them (``module.``): that is a difference itself."""
    a, b = headers
    unread = tuple(
        f"{checkpoint.path}: {header.reason}"
        for checkpoint, header in zip((first, second), headers, strict=True)
        if header.state != "ready" and header.weights is None
    )
    if unread:
        a = b = CheckpointHeader(None)
    tensors, others = _tensors(a), _tensors(b)
    shared = tensors.keys() & others.keys()
    found = [
        *_values("field", _fields(first), _fields(second)),
        *_values("metric", first.metrics, second.metrics),
        *_values("param", first.params, second.params),
        *_values("weights", _facts(a), _facts(b)),
        *_of_tensors(tensors, others),
    ]
    unknown = sum(
        tensors[name][:2] == others[name][:2] and None in (tensors[name][2], others[name][2]) for name in shared
    )
    return Comparison(tuple(found), len(tensors.keys() | others.keys()), unknown, unread)


def contrasts(checkpoints: Sequence[Checkpoint]) -> Iterator[Contrast]:
    """What isn't the same for all of several checkpoints, by what the catalog knows: no file is read."""
    kinds: tuple[tuple[DifferenceKind, Callable[[Checkpoint], Mapping[str, Scalar]]], ...] = (
        ("field", _fields),
        ("metric", lambda checkpoint: checkpoint.metrics),
        ("param", lambda checkpoint: checkpoint.params),
        ("weights", _known_weights),
    )
    for kind, read in kinds:
        for name, values in _differing([read(checkpoint) for checkpoint in checkpoints]):
            yield Contrast(kind, name, values)


def _fields(checkpoint: Checkpoint) -> dict[str, Scalar]:
    return {name: getattr(checkpoint, name) for name in FIELDS}


def _known_weights(checkpoint: Checkpoint) -> dict[str, Scalar]:
    weights = checkpoint.weights
    if weights is None:
        return {}
    return {name: getattr(weights, name) for name in ("num_tensors", "num_parameters", "fingerprint")}


def _values(kind: DifferenceKind, first: Mapping[str, Scalar], second: Mapping[str, Scalar]) -> Iterator[Difference]:
    for name, (one, other) in _differing([first, second]):
        yield Difference(kind, name, one, other)


def _differing(mappings: Sequence[Mapping[str, Scalar]]) -> Iterator[tuple[str, tuple[Scalar, ...]]]:
    """Names with a value of each mapping, where these aren't all the same: 1, 1.0 and true are three."""
    for name in dict.fromkeys(name for mapping in mappings for name in mapping):
        first, *others = values = tuple(mapping.get(name) for mapping in mappings)
        if not all(_same(first, other) for other in others):
            yield name, values


def _same(one: Scalar, other: Scalar) -> bool:
    return type(one) is type(other) and (one == other or _both_nan(one, other))


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
