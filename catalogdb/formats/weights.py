"""The model's weights, from descriptions of tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from catalogdb.formats.pickle_values import Tensor, TensorRef, describe
from catalogdb.formats.plain import as_mapping
from catalogdb.formats.source import Refused
from catalogdb.records import TensorInfo, Weights

STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model")
BOOKKEEPING = ("running_mean", "running_var", "num_batches_tracked")
"""``torch/nn/modules/batchnorm.py``: buffers that no optimizer trains."""

MAX_NUMBER = 2**63 - 1
MAX_TENSORS = 100_000


def find_state_dict(checkpoint: Mapping[Any, Any]) -> dict[str, Tensor] | None:
    """The model's tensors by name: under one of STATE_DICT_KEYS, else the checkpoint itself if it holds tensors.

    A mapping counts when most of its values are tensors. What it holds beside them (``_extra_state``) is left out.
    """
    for key in STATE_DICT_KEYS:
        tensors = _tensors(as_mapping(checkpoint.get(key)))
        if tensors is not None:
            return tensors
    return _tensors(checkpoint)


def _tensors(mapping: Mapping[Any, Any] | None) -> dict[str, Tensor] | None:
    if not mapping:
        return None
    refs = {key: value for key, value in mapping.items() if type(value) is TensorRef and type(key) is str}
    if 2 * len(refs) <= len(mapping):
        return None
    if len(refs) > MAX_TENSORS:
        raise Refused(f"weights of {len(refs)} tensors")
    tensors: dict[str, Tensor] = {}
    for name, ref in refs.items():
        tensor = describe(ref)
        if tensor is None:
            raise Refused(f"the tensor {name[:80]!r} can't be understood")
        tensors[name] = tensor
    return tensors


def weigh(
    tensors: Mapping[str, Tensor], checksum: Callable[[str, Tensor], int | None]
) -> tuple[tuple[TensorInfo, ...], Weights]:
    """The tensors in their order, and what they add up to. ``checksum(name, tensor)`` is its storage's, if known.

    Of tensors that share storage, offset and shape (tied weights) one is counted.
    """
    seen: set[tuple[str, int, tuple[int, ...]]] = set()
    dtypes: dict[str, int] = {}
    total = 0
    for name, tensor in tensors.items():
        if tensor.key is not None:
            place = (tensor.key, tensor.offset, tensor.shape)
            if place in seen:
                continue
            seen.add(place)
        if name.endswith(BOOKKEEPING):
            continue
        total += tensor.numel
        dtypes[tensor.dtype] = dtypes.get(tensor.dtype, 0) + tensor.numel
    if total > MAX_NUMBER:
        raise Refused("the tensors have more elements than a file can hold")
    infos = tuple(TensorInfo(name, tensor.shape, tensor.dtype) for name, tensor in tensors.items())
    checksums = {name: checksum(name, tensor) for name, tensor in tensors.items()}
    return infos, Weights(total, len(tensors), dtypes, _fingerprint(tensors, checksums))


def _fingerprint(tensors: Mapping[str, Tensor], checksums: Mapping[str, int | None]) -> str | None:
    """A digest over name, dtype, shape, offset, stride and the storage's CRC-32; null if one CRC isn't known."""
    if None in checksums.values():
        return None
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        line = f"{name!r} {tensor.dtype} {tensor.shape} {tensor.offset} {tensor.stride} {checksums[name]}\n"
        digest.update(line.encode("utf-8"))
    return digest.hexdigest()
