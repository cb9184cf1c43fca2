"""The index of a sharded model: ``model.safetensors.index.json``, ``pytorch_model.bin.index.json``.

Layout after ``huggingface_hub/serialization/_base.py`` and transformers' ``save_pretrained``: ``{"metadata":
{"total_size": bytes}, "weight_map": {tensor: file beside the index}}``. The headers of the shards are read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from catalogdb.formats.json_text import load_object
from catalogdb.formats.source import ByteSource, CutShort, Foreign, Refused
from catalogdb.formats.weights import MAX_TENSORS
from catalogdb.records import CheckpointHeader, TensorInfo, Weights

MAX_SHARDS = 4096


def read_index(
    source: ByteSource, path: str | None, read_header: Callable[[str], CheckpointHeader]
) -> CheckpointHeader:
    """The header of the model whose shards lie beside ``path``. CutShort where one is missing; Refused, Foreign."""
    if source.size > source.limits.index_bytes:
        raise Refused(f"index of {source.size} bytes")
    raw = source.read(0, source.size)
    if not raw.rstrip().endswith(b"}"):
        raise CutShort("the index ends too early")
    weight_map = load_object(raw, "the index").get("weight_map")
    if not isinstance(weight_map, dict):
        raise Foreign("JSON without a weight_map")
    if path is None:
        raise Refused("an index without what lies beside it")
    folder = path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
    headers = [_read_shard(folder, name, read_header) for name in _shards(weight_map)]
    return _merge(weight_map, headers)


def _shards(weight_map: dict[str, Any]) -> list[str]:
    names = list(dict.fromkeys(name if isinstance(name, str) else "" for name in weight_map.values()))
    if len(names) > MAX_SHARDS:
        raise Refused(f"an index of {len(names)} shards")
    for name in names:
        if not name or "/" in name or "\\" in name or "\x00" in name or name.endswith(".index.json"):
            raise Refused(f"the index names a shard {name[:80]!r}")
    return names


def _read_shard(folder: str, name: str, read_header: Callable[[str], CheckpointHeader]) -> CheckpointHeader:
    try:
        header = read_header(f"{folder}/{name}")
    except FileNotFoundError as error:
        raise CutShort(f"the shard {name[:80]!r} is missing") from error
    except OSError as error:
        raise Refused(f"the shard {name[:80]!r} can't be read: {error.strerror}") from error
    if header.state == "truncated":
        raise CutShort(f"{name[:80]!r}: {header.reason}")
    if header.state != "ready" or header.format == "sharded":
        raise Refused(f"{name[:80]!r}: {header.reason or 'is an index itself'}")
    return header


def _merge(weight_map: dict[str, Any], headers: list[CheckpointHeader]) -> CheckpointHeader:
    tensors: dict[str, TensorInfo] = {}
    checksums: dict[str, int | None] = {}
    dtypes: dict[str, int] = {}
    for header in headers:
        tensors.update((tensor.name, tensor) for tensor in header.tensors)
        known = zip(header.tensors, header.checksums, strict=True)
        checksums.update((tensor.name, checksum) for tensor, checksum in known)
        for dtype, count in (header.weights.dtypes if header.weights else {}).items():
            dtypes[dtype] = dtypes.get(dtype, 0) + count
        if len(tensors) > MAX_TENSORS:
            raise Refused(f"more than {MAX_TENSORS} tensors")
    missing = weight_map.keys() - tensors.keys()
    if missing:
        raise CutShort(f"the tensor {min(missing)[:80]!r} isn't in its shard")
    return CheckpointHeader(
        format="sharded",
        tensors=tuple(tensors.values()),
        checksums=tuple(checksums.values()),
        weights=Weights(sum(dtypes.values()), len(tensors), dtypes) if tensors else None,
        weights_bytes=sum(header.weights_bytes or 0 for header in headers),
        storage_bytes=sum(header.storage_bytes or 0 for header in headers),
    )
