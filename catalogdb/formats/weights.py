"""The model's weights, from descriptions of tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from os.path import commonprefix
from typing import Any, NamedTuple

from catalogdb.formats.modules import is_module, module_tensors
from catalogdb.formats.numpy_arrays import describe_array
from catalogdb.formats.pickle_values import Stub, Tensor, TensorRef, describe
from catalogdb.formats.plain import as_mapping
from catalogdb.formats.source import Refused
from catalogdb.records import TensorInfo, Weights

BOOKKEEPING = ("running_mean", "running_var", "num_batches_tracked")
"""``torch/nn/modules/batchnorm.py``: buffers that no optimizer trains."""

WRAPPERS = ("module.", "_orig_mod.", "model.", "_forward_module.", "_fsdp_wrapped_module.")
"""What DataParallel and DistributedDataParallel, torch.compile, Lightning's modules and Fabric put before each name."""

MAX_NUMBER = 2**63 - 1
MAX_TENSORS = 100_000


class Weighed(NamedTuple):
    """The tensors in their order, what they add up to, and by tensor the checksum of its storage, where known."""

    tensors: tuple[TensorInfo, ...]
    weights: Weights
    checksums: tuple[int | None, ...]
    prefix: str | None


def find_state_dict(checkpoint: object, places: tuple[str, ...]) -> dict[str, Tensor] | None:
    """The model's tensors by name: at one of ``places``, else the checkpoint itself if it holds tensors.

    A mapping counts when most of its values are tensors. What it holds beside them (``_extra_state``) is left out.
    A whole module is read as what its ``state_dict()`` would give.
    """
    mapping = as_mapping(checkpoint)
    if mapping is None or is_module(checkpoint):
        return _tensors_at(checkpoint)
    for place in places:
        tensors = _tensors_at(mapping.get(place))
        if tensors is not None:
            return tensors
    return _tensors(mapping)


def _tensors_at(value: object) -> dict[str, Tensor] | None:
    if type(value) is Stub and is_module(value):
        return _described(module_tensors(value)) or None
    return _tensors(as_mapping(value))


def _tensors(mapping: Mapping[Any, Any] | None) -> dict[str, Tensor] | None:
    if not mapping:
        return None
    refs = {key: value for key, value in mapping.items() if type(value) is TensorRef and type(key) is str}
    if 2 * len(refs) > len(mapping):
        return _described(refs)
    arrays: dict[str, Tensor] = {}
    for key, value in mapping.items():
        array = describe_array(value) if type(value) is Stub and type(key) is str else None
        if array is not None:
            arrays[key] = array
    return arrays if 2 * len(arrays) > len(mapping) else None


def _described(refs: dict[str, TensorRef]) -> dict[str, Tensor]:
    if len(refs) > MAX_TENSORS:
        raise Refused(f"weights of {len(refs)} tensors")
    tensors: dict[str, Tensor] = {}
    for name, ref in refs.items():
        tensor = describe(ref)
        if tensor is None:
            raise Refused(f"the tensor {name[:80]!r} can't be understood")
        tensors[name] = tensor
    return tensors


def weigh(tensors: Mapping[str, Tensor], checksum: Callable[[str, Tensor], int | None]) -> Weighed:
    """What is known about ``tensors``. ``checksum(name, tensor)`` is that of its storage, if known.

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
    infos = tuple([TensorInfo(name, tensor.shape, tensor.dtype) for name, tensor in tensors.items()])
    checksums = tuple([checksum(name, tensor) for name, tensor in tensors.items()])
    weights = Weights(total, len(tensors), dtypes, fingerprint(tensors, checksums))
    return Weighed(infos, weights, checksums, _prefix(tensors))


def fingerprint(tensors: Mapping[str, Tensor], checksums: tuple[int | None, ...]) -> str | None:
    """A digest over name, dtype, shape, offset, stride and the storage's CRC-32; null if one CRC isn't known."""
    if None in checksums:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for (name, tensor), checksum in sorted(zip(tensors.items(), checksums, strict=True)):
        line = f"{name!r} {tensor.dtype} {tensor.shape} {tensor.offset} {tensor.stride} {checksum}\n"
        digest.update(line.encode("utf-8"))
    return digest.hexdigest()


def _prefix(tensors: Mapping[str, Tensor]) -> str | None:
    """The wrappers that stand before every name: ``module.``, ``_orig_mod.module.``, …; null if there is none."""
    shared = commonprefix([min(tensors), max(tensors)]) if tensors else ""
    at = 0
    while wrapper := next((wrapper for wrapper in WRAPPERS if shared.startswith(wrapper, at)), None):
        at += len(wrapper)
    return shared[:at] or None
