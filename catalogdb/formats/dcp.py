"""torch's distributed checkpoints: ``.metadata``, written last, and ``__R_N.distcp`` with the tensors' bytes.

Layout after ``torch/distributed/checkpoint/metadata.py`` (Metadata, TensorStorageMetadata, TensorProperties,
MetadataIndex) and ``…/filesystem.py`` (_StorageInfo, _write_item): ``.metadata`` is a pickle, which is read as data;
what is no tensor was written by torch.save into a part of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from catalogdb.formats.container import Span
from catalogdb.formats.frameworks import STATE_DICT_KEYS, read_facts
from catalogdb.formats.pickle_stream import PickleStream
from catalogdb.formats.pickle_values import GlobalRef, OpaqueKey, Stub
from catalogdb.formats.source import ByteSource, CutShort, Foreign, Refused, over
from catalogdb.formats.tensors import Tensor, contiguous
from catalogdb.formats.torch_zip import TorchZip
from catalogdb.formats.weights import unknown, weigh
from catalogdb.records import CheckpointHeader

MODULE = "torch.distributed.checkpoint.metadata"
COUNTS = ("epoch", "global_step", "step", "iteration")
MAX_COUNT_BYTES = 16 * 1024
"""torch.save of one number takes 1.2 kB."""

OpenPart = Callable[[str, Span], "ByteSource | None"]


def read_metadata(source: ByteSource, sizes: Mapping[str, int], open_part: OpenPart) -> CheckpointHeader:
    """The header of the checkpoint whose ``.metadata`` is ``source``; ``sizes`` are those of the files beside it.

    CutShort where a file is missing or too short, Refused where the metadata is malformed, Foreign where it is none.
    """
    metadata = PickleStream(source).read()
    if type(metadata) is not Stub or metadata.ref.module != MODULE or type(metadata.state) is not dict:
        raise Foreign("no metadata of a distributed checkpoint")
    described = metadata.state.get("state_dict_metadata")
    if type(described) is not dict:
        raise Refused("the metadata names no tensors")
    if len(described) > source.limits.tensors:
        raise over(source.limits, "tensors", f"metadata of {len(described)} tensors, more")
    parts = _parts(metadata.state.get("storage_data"), sizes)
    counts = dict(_counts(described, parts, open_part))
    facts = read_facts(counts, lambda ref: None)
    tensors = {name: tensor for name, item in described.items() if (tensor := _tensor(name, item)) is not None}
    weights = _weights(tensors)
    checksums = unknown(weights)
    weighed = weigh(weights, checksums)
    return CheckpointHeader(
        format="torch_dcp",
        epoch=facts.epoch,
        global_step=facts.global_step,
        scalars=counts,
        tensors=weighed.tensors,
        checksums=checksums,
        weights=weighed.weights if weights else None,
        weights_prefix=weighed.prefix,
        storage_bytes=sum(sizes[name] for name in {name for name, _ in parts.values()}),
    )


def _parts(storage_data: object, sizes: Mapping[str, int]) -> dict[str, tuple[str, Span]]:
    """The first part of each name, with its file. CutShort where a file lacks what the metadata says is in it."""
    if type(storage_data) is not dict:
        raise Refused("the metadata doesn't say where its tensors are")
    parts: dict[str, tuple[str, Span]] = {}
    for key, info in storage_data.items():
        index = key.value if type(key) is OpaqueKey else None
        name = index.state.get("fqn") if type(index) is Stub and type(index.state) is dict else None
        place = info.state if type(info) is Stub and type(info.state) is dict else {}
        file, at, size = place.get("relative_path"), place.get("offset"), place.get("length")
        if type(name) is not str or type(file) is not str or type(at) is not int or type(size) is not int:
            raise Refused("the metadata's places can't be understood")
        if file not in sizes:
            raise CutShort(f"the part {file[:80]!r} is missing")
        if at < 0 or size < 0 or at + size > sizes[file]:
            raise CutShort(f"the part {file[:80]!r} ends too early")
        parts.setdefault(name, (file, Span(at, size)))
    return parts


def _tensor(name: object, item: object) -> Tensor | None:
    if type(item) is not Stub or item.ref.name != "TensorStorageMetadata" or type(item.state) is not dict:
        return None
    properties, shape = item.state.get("properties"), item.state.get("size")
    state = properties.state if type(properties) is Stub else None
    dtype = state[0] if type(state) is tuple and state else state.get("dtype") if type(state) is dict else None
    if type(name) is not str or type(shape) is not tuple or type(dtype) is not GlobalRef:
        raise Refused("a tensor of the metadata can't be understood")
    tensor = contiguous(dtype.name, shape)
    if tensor is None:
        raise Refused(f"the tensor {name[:80]!r} has an impossible shape")
    return tensor


def _weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names are dotted paths into the state: the model's tensors stand below one of the usual keys, or at the top."""
    for key in STATE_DICT_KEYS:
        found = {name[len(key) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{key}.")}
        if found:
            return found
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("optim")}


def _counts(
    described: Mapping[Any, Any], parts: Mapping[str, tuple[str, Span]], open_part: OpenPart
) -> Iterator[tuple[str, int]]:
    """Counts that stand at the top of the state, each in a part of its own."""
    for name in COUNTS:
        item, part = described.get(name), parts.get(name)
        if type(item) is not Stub or item.ref.name != "BytesStorageMetadata" or part is None:
            continue
        source = open_part(*part) if part[1].size <= MAX_COUNT_BYTES else None
        if source is None:
            continue
        try:
            value = TorchZip(source).read_checkpoint()
        except (CutShort, Foreign) as error:
            raise Refused(f"the part of {name!r}: {error}") from error
        if type(value) is int:
            yield name, value
