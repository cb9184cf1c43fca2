"""The index of a sharded model: ``model.safetensors.index.json``, ``pytorch_model.bin.index.json``.

Layout after ``huggingface_hub/serialization/_base.py`` and transformers' ``save_pretrained``: ``{"metadata":
{"total_size": bytes}, "weight_map": {tensor: file beside the index}}``. The headers of the shards are read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from catalogdb.formats.allowance import Allowance
from catalogdb.formats.json_text import load_object
from catalogdb.formats.source import ByteSource, CutShort, Foreign, Refused, over
from catalogdb.limits import Limits
from catalogdb.records import CheckpointHeader, TensorInfo, Weights

MAX_SHARDS = 4096
MAX_NAMES = 32 * 1024 * 1024
"""Characters of the tensors' names, in all shards."""


def read_index(
    source: ByteSource, path: str | None, read_header: Callable[[str], CheckpointHeader]
) -> CheckpointHeader:
    """The header of the model whose shards lie beside ``path``. CutShort where one is missing; Refused, Foreign."""
    if source.size > source.limits.index_bytes:
        raise over(source.limits, "index_bytes", f"an index of {source.size} bytes, more")
    raw = source.read(0, source.size)
    if not raw.rstrip().endswith(b"}"):
        raise CutShort("the index ends too early")
    weight_map = load_object(raw, "the index").get("weight_map")
    if not isinstance(weight_map, dict):
        raise Foreign("JSON without a weight_map")
    if path is None:
        raise Refused("an index without what lies beside it")
    folder = path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
    allowance = Allowance(source.limits)
    model = _Model(source.limits)
    for name in _shards(weight_map):
        allowance.check()
        model.add(_read_shard(folder, name, read_header))
    return model.header(weight_map)


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


class _Model:
    """What the shards add up to, one after the other: of each header no more is kept than that."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tensors: dict[str, TensorInfo] = {}
        self._checksums: dict[str, int | None] = {}
        self._dtypes: dict[str, int] = {}
        self._text = 0
        self._weights_bytes = 0
        self._storage_bytes = 0

    def add(self, shard: CheckpointHeader) -> None:
        self._tensors.update((tensor.name, tensor) for tensor in shard.tensors)
        known = zip(shard.tensors, shard.checksums, strict=True)
        self._checksums.update((tensor.name, checksum) for tensor, checksum in known)
        self._text += sum([len(tensor.name) for tensor in shard.tensors])
        for dtype, count in (shard.weights.dtypes if shard.weights else {}).items():
            self._dtypes[dtype] = self._dtypes.get(dtype, 0) + count
        self._weights_bytes += shard.weights_bytes or 0
        self._storage_bytes += shard.storage_bytes or 0
        if len(self._tensors) > self._limits.tensors:
            raise over(self._limits, "tensors", "more tensors")
        if self._text > MAX_NAMES:
            raise Refused("the names of its tensors are too long")

    def header(self, weight_map: dict[str, Any]) -> CheckpointHeader:
        missing = weight_map.keys() - self._tensors.keys()
        if missing:
            raise CutShort(f"the tensor {min(missing)[:80]!r} isn't in its shard")
        tensors, dtypes = tuple(self._tensors.values()), self._dtypes
        return CheckpointHeader(
            format="sharded",
            tensors=tensors,
            checksums=tuple(self._checksums.values()),
            weights=Weights(sum(dtypes.values()), len(tensors), dtypes) if tensors else None,
            weights_bytes=self._weights_bytes,
            storage_bytes=self._storage_bytes,
        )
