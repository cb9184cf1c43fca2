"""safetensors: 8 bytes of length, a JSON header, then the tensors' bytes without gaps.

Layout after the format's description in the README of huggingface/safetensors: ``{name: {dtype, shape,
data_offsets: [begin, end]}}``, offsets relative to the end of the header; ``__metadata__`` maps strings to strings;
the header has at most 100 MB, duplicate keys are forbidden, and the tensors cover the rest of the file.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from catalogdb.formats.container import Span
from catalogdb.formats.json_text import load_object
from catalogdb.formats.source import ByteSource, CutShort, Refused, over
from catalogdb.formats.tensors import MAX_DIM, Tensor, contiguous
from catalogdb.formats.weights import unknown, weigh
from catalogdb.records import CheckpointHeader, Scalar

MAX_METADATA = 256
MAX_METADATA_NAME = 512
MAX_METADATA_VALUE = 4096

_DTYPES: dict[str, tuple[str, int]] = {
    "F64": ("float64", 64),
    "F32": ("float32", 32),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F4": ("float4_e2m1fn_x2", 4),
    "I64": ("int64", 64),
    "I32": ("int32", 32),
    "I16": ("int16", 16),
    "I8": ("int8", 8),
    "U64": ("uint64", 64),
    "U32": ("uint32", 32),
    "U16": ("uint16", 16),
    "U8": ("uint8", 8),
    "BOOL": ("bool", 8),
    "C64": ("complex64", 64),
}
"""Torch's name and the bits of an element (``safetensors/src/tensor.rs``: Dtype)."""


class Layout(NamedTuple):
    """A header, checked: the tensors in its order, each one's place in the file, the metadata as it stands."""

    tensors: dict[str, Tensor]
    spans: dict[str, Span]
    metadata: object


def read_layout(source: ByteSource) -> Layout:
    """The header of a safetensors file. Raises CutShort, Refused and OSError."""
    length = int.from_bytes(source.read_exactly(0, 8, "the header's length"), "little")
    if length > source.limits.safetensors_header:
        raise over(source.limits, "safetensors_header", f"safetensors header of {length} bytes, more")
    if 8 + length > source.size:
        raise CutShort("the file ends inside the safetensors header")
    header = load_object(source.read_exactly(8, length, "the safetensors header"), "the safetensors header")
    metadata = header.pop("__metadata__", None)
    tensors, spans = _read_tensors(header, 8 + length, source.size)
    return Layout(tensors, spans, metadata)


def read_safetensors(source: ByteSource) -> CheckpointHeader:
    """What a safetensors file says about itself. Raises CutShort, Refused and OSError."""
    tensors, spans, metadata = read_layout(source)
    checksums = unknown(tensors)
    weighed = weigh(tensors, checksums)
    counts, params = _read_metadata(metadata)
    size = sum([span.size for span in spans.values()])
    return CheckpointHeader(
        format="safetensors",
        epoch=counts.get("epoch"),
        global_step=counts.get("global_step"),
        hyper_parameters=params,
        tensors=weighed.tensors,
        checksums=checksums,
        weights=weighed.weights if tensors else None,
        weights_prefix=weighed.prefix,
        weights_bytes=size,
        storage_bytes=size,
    )


def _read_tensors(header: dict[str, Any], base: int, file_size: int) -> tuple[dict[str, Tensor], dict[str, Span]]:
    """The tensors in the header's order, their places checked: contiguous from ``base`` to the end of the file."""
    tensors: dict[str, Tensor] = {}
    spans: dict[str, Span] = {}
    for name, entry in header.items():
        clean = _clean(name)
        tensors[clean], begin, end = _read_tensor(name, entry)
        spans[clean] = Span(base + begin, end - begin)
    if len(tensors) != len(header):
        raise Refused("two tensors have one name")
    reached = base
    for at, size in sorted(spans.values()):
        if at != reached:
            raise Refused("the tensors overlap or leave a gap")
        reached = at + size
    if reached > file_size:
        raise CutShort(f"the tensors need {reached - base} bytes, the file holds {file_size - base}")
    if reached < file_size:
        raise Refused(f"{file_size - reached} bytes follow the tensors")
    return tensors, spans


def _read_tensor(name: str, entry: object) -> tuple[Tensor, int, int]:
    shown = f"the tensor {name[:80]!r}"
    if not isinstance(entry, dict) or not entry.keys() >= {"dtype", "shape", "data_offsets"}:
        raise Refused(f"{shown} isn't described")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    known = _DTYPES.get(dtype) if isinstance(dtype, str) else None
    if known is None:
        raise Refused(f"{shown} has an unknown dtype")
    tensor = contiguous(known[0], tuple(shape)) if _are_sizes(shape) else None
    if tensor is None or not _are_sizes(offsets) or len(offsets) != 2:
        raise Refused(f"{shown} has an impossible shape or place")
    begin, end = offsets
    if tensor.numel * known[1] != (end - begin) * 8:
        raise Refused(f"{shown} and its bytes differ in size")
    return tensor, begin, end


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size <= MAX_DIM for size in value)


def _read_metadata(metadata: object) -> tuple[dict[str, int], dict[str, Scalar]]:
    """(epoch and global_step, where they are plain digits; all else, as it stands)."""
    counts: dict[str, int] = {}
    params: dict[str, Scalar] = {}
    if metadata is None:
        return counts, params
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Refused("the safetensors metadata maps to something else than text")
    for name, value in metadata.items():
        count = {"epoch": "epoch", "global_step": "global_step", "step": "global_step"}.get(name)
        if count is not None and value.isascii() and value.isdigit() and len(value) <= 18:
            if name != "step" or "global_step" not in counts:
                counts[count] = int(value)
        elif len(params) < MAX_METADATA and len(name) <= MAX_METADATA_NAME and len(value) <= MAX_METADATA_VALUE:
            params[_clean(name)] = _clean(value)
    return counts, params


def _clean(text: str) -> str:
    """JSON can escape half a surrogate pair, which no database stores."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
