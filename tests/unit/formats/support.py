"""Files for the tests, made by hand: torch zips around any pickle, and pickles opcode by opcode."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalogdb.formats import read_header
from catalogdb.records import CheckpointHeader

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def torch_zip(
    data_pkl: bytes,
    *,
    stem: str = "archive",
    storages: Mapping[str, bytes] | None = None,
    more: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
    byteorder: bytes = b"little",
) -> bytes:
    """What torch.save would have written around ``data_pkl``; ``more`` are entries with their whole names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(f"{stem}/data.pkl", data_pkl)
        archive.writestr(f"{stem}/byteorder", byteorder)
        for key, content in (storages or {}).items():
            archive.writestr(f"{stem}/data/{key}", content)
        archive.writestr(f"{stem}/version", b"3\n")
        for name, content in (more or {}).items():
            archive.writestr(name, content)
    return buffer.getvalue()


def read_bytes(folder: Path, content: bytes, name: str = "x.ckpt") -> CheckpointHeader:
    path = folder / name
    path.write_bytes(content)
    return read_header(str(path))


def text(value: str) -> bytes:
    raw = value.encode("utf-8")
    return b"X" + struct.pack("<I", len(raw)) + raw


def name_ref(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def mapping(**entries: bytes) -> bytes:
    """A dict whose values are opcodes."""
    return b"}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def pickled(*opcodes: bytes, protocol: int = 2) -> bytes:
    return b"\x80" + bytes((protocol,)) + b"".join(opcodes) + b"."


def tensor_opcodes(
    key: str = "0", *, storage: str = "FloatStorage", shape: tuple[int, ...] = (), offset: int = 0, numel: int = 1
) -> bytes:
    """``_rebuild_tensor_v2`` of a contiguous tensor, as torch.save writes it but without its memo."""

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", min(value, 2**31 - 1))

    strides = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, strides[0] * size)
    sizes = b"(" + b"".join(map(number, shape)) + b"t"
    steps = b"(" + b"".join(map(number, strides[: len(shape)])) + b"t"
    pid = b"(" + text("storage") + name_ref("torch", storage) + text(key) + text("cpu") + number(numel) + b"tQ"
    hooks = name_ref("collections", "OrderedDict") + b")R"
    args = b"(" + pid + number(offset) + sizes + steps + b"\x89" + hooks + b"t"
    return name_ref("torch._utils", "_rebuild_tensor_v2") + args + b"R"


def safetensors(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data
