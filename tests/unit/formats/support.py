"""Files for the tests, made by hand: torch zips around any pickle, and pickles opcode by opcode."""

from __future__ import annotations

import io
import itertools
import json
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from catalogdb.formats import pickle_reader, read_header
from catalogdb.formats.pickle_values import GlobalRef, OpaqueKey, Stub
from catalogdb.formats.source import CutShort, Refused
from catalogdb.formats.tensor_opcodes import Rewritten
from catalogdb.formats.tensors import StorageRef, TensorRef
from catalogdb.limits import DEFAULT
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


class Pickler:
    """Opcodes as torch.save writes them, protocol 2: what is put into the memo is got the next time."""

    def __init__(self) -> None:
        self._indexes: dict[str, int] = {}

    def put(self, name: str = "") -> bytes:
        index = len(self._indexes)
        self._indexes[name or f"unnamed {index}"] = index
        return b"q" + bytes((index,)) if index < 256 else b"r" + struct.pack("<I", index)

    def once(self, name: str, opcodes: bytes) -> bytes:
        index = self._indexes.get(name)
        if index is None:
            return opcodes + self.put(name)
        return b"h" + bytes((index,)) if index < 256 else b"j" + struct.pack("<I", index)

    def key(self, name: str) -> bytes:
        return self.once(name, text(name))

    def tensor(self, key: int, shape: tuple[int, ...], dtype: str = "Float") -> bytes:
        """A contiguous one, of storage ``key``."""
        steps = [1]
        for size in reversed(shape[1:]):
            steps.insert(0, steps[0] * size)
        function = self.once("function", name_ref("torch._utils", "_rebuild_tensor_v2"))
        pid = b"((" + self.key("storage") + self.once(dtype, name_ref("torch", f"{dtype}Storage")) + text(str(key))
        pid += self.put() + self.key("cpu") + _number(steps[0] * shape[0] if shape else 1) + b"t" + self.put() + b"Q"
        sizes = self._sizes(shape) + self._sizes(tuple(steps[: len(shape)]))
        hooks = self.once("OrderedDict", name_ref("collections", "OrderedDict")) + b")R" + self.put()
        return function + pid + b"K\x00" + sizes + b"\x89" + hooks + b"t" + self.put() + b"R" + self.put()

    def _sizes(self, sizes: tuple[int, ...]) -> bytes:
        if not sizes:
            return b")"
        numbers = b"".join(map(_number, sizes))
        ends = {1: b"\x85", 2: b"\x86", 3: b"\x87"}
        return (numbers + ends[len(sizes)] if len(sizes) in ends else b"(" + numbers + b"t") + self.put()

    def mapping(self, entries: Iterable[tuple[bytes, Callable[[], bytes]]]) -> bytes:
        """A dict; keys and what makes the values are asked for in the order in which they are written."""
        return b"}" + self.put() + b"(" + b"".join(key + value() for key, value in entries) + b"u"


def _number(value: int) -> bytes:
    return b"K" + bytes((value,)) if value < 256 else b"J" + struct.pack("<i", value)


def training_pickle(layers: int) -> bytes:
    """A model of ``layers`` weights and Adam's state of it, with a storage for each tensor."""
    pickler = Pickler()
    keys = itertools.count()

    def weights() -> bytes:
        shapes = [(2, 3), (4,), (300, 2), (1, 2, 1, 3), ()]
        return pickler.mapping(
            (pickler.key(f"layers.{number}.weight"), partial(pickler.tensor, next(keys), shapes[number % 5]))
            for number in range(layers)
        )

    def moments() -> bytes:
        return pickler.mapping(
            (pickler.key(name), partial(pickler.tensor, next(keys), (2, 3) if name != "step" else ()))
            for name in ("step", "exp_avg", "exp_avg_sq")
        )

    def optimizer() -> bytes:
        return pickler.mapping((_number(number), moments) for number in range(layers))

    entries = [("epoch", lambda: b"K\x01"), ("model", weights), ("optimizer", optimizer), ("tied", lambda: b"h\x08")]
    return pickled(pickler.mapping((pickler.key(name), value) for name, value in entries))


def written_out(value: object, depth: int = 0) -> object:
    """All that a pickle was read into, for comparisons; cut off where it holds itself."""
    if depth > 12:
        return "…"
    inner = partial(written_out, depth=depth + 1)
    if type(value) is TensorRef:
        return "tensor", inner(value.args), inner(value.dtype)
    if type(value) is StorageRef:
        return "storage", inner(value.pid)
    if type(value) is GlobalRef:
        return value.dotted
    if type(value) is Stub:
        return "stub", value.ref.dotted, *map(inner, (value.args, value.state, value.items, value.elements))
    if type(value) is OpaqueKey:
        return "key", inner(value.value)
    if isinstance(value, dict):
        return "dict", [(inner(key), inner(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [inner(item) for item in value]
    return type(value).__name__, repr(value)


def outcome(data: bytes, *, at_one_go: bool = True) -> object:
    """What a pickle is read into; ``at_one_go``: whether tensors are read so, or opcode by opcode."""
    try:
        return written_out(pickle_reader.run(data, 0, None, DEFAULT, at_one_go=at_one_go).value)
    except Rewritten:
        return outcome(data, at_one_go=False)
    except (Refused, CutShort) as error:
        return type(error)
