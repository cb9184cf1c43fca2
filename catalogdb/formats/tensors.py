"""Tensors of a pickle: references to them as the pickle makes them, and descriptions, checked."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from catalogdb.formats.pickle_values import GlobalRef

MAX_DIMS = 64
MAX_DIM = 2**63 - 1

_new_tuple = tuple.__new__


class StorageRef:
    """A persistent id ``('storage', <type>, key, location, numel)`` (``torch/serialization.py``: persistent_id).

    Files of torch before 1.6 have a sixth part: null, or a view ``(key, offset, size)``.
    """

    __slots__ = ("pid",)

    def __init__(self, pid: tuple[Any, ...]) -> None:
        self.pid = pid


class Written(Protocol):
    """Knows how to read a tensor's opcodes: ``tensor_opcodes``."""

    def read_args(self, ref: TensorRef) -> tuple[Any, ...]: ...

    def describe(self, ref: TensorRef) -> Tensor | None: ...

    def spread(self, ref: TensorRef, memo: dict[bytes, Any]) -> None:
        """Puts what the opcodes put into the memo; until then it has ``ref`` in all those places."""


class TensorRef:
    """A tensor as its rebuild function's arguments ``(storage, offset, size, stride, …)``, unchecked until described.

    ``dtype`` is given where the function was told it (``_rebuild_tensor_v3``; a torch name or what the pickle names),
    else the storage's type says it. Nobody asks for an optimizer's arguments: where ``written`` is there, ``parts`` are
    as well, and the arguments are read from them when they are asked for.
    """

    __slots__ = ("dtype", "given", "parts", "written")

    parts: tuple[bytes, ...]

    def __init__(self, args: tuple[Any, ...], dtype: object = None) -> None:
        self.given: tuple[Any, ...] | None = args
        self.dtype = dtype
        self.written: Written | None = None

    @property
    def args(self) -> tuple[Any, ...]:
        if self.given is None:
            self.given = () if self.written is None else self.written.read_args(self)
        return self.given


class Tensor(NamedTuple):
    """A tensor described and checked: ``offset`` and ``stride`` in elements, ``key`` names its storage (null: none).

    ``extent`` is how many elements of the storage it reaches over, from the storage's start.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    key: str | None
    numel: int
    extent: int


def contiguous(dtype: str, shape: tuple[int, ...]) -> Tensor | None:
    """A tensor of these sizes without a storage of its own; None where they are no sizes, or too large."""
    if len(shape) > MAX_DIMS or not all(type(size) is int and 0 <= size <= MAX_DIM for size in shape):
        return None
    stride: list[int] = []
    numel = 1
    for size in reversed(shape):
        stride.append(numel)
        numel *= max(size, 1)
    numel = 0 if 0 in shape else numel
    return Tensor(dtype, shape, tuple(reversed(stride)), 0, None, numel, numel) if numel <= MAX_DIM else None


STORAGE_DTYPES: dict[str, str] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "QUInt8Storage": "quint8",
    "QInt8Storage": "qint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
}
"""``torch/storage.py``: _dtype_to_storage_type_map; the classes live in ``torch`` and ``torch.cuda``."""

_BYTE_STORAGES = frozenset({"quint4x2", "quint2x4"})


def storage_item_size(kind: GlobalRef) -> int | None:
    """Bytes of an element of a storage of type ``kind`` (``torch.FloatStorage``), None for an unknown one."""
    dtype = STORAGE_DTYPES.get(kind.name)
    if dtype in _BYTE_STORAGES or kind.name == "UntypedStorage":
        return 1
    return ITEM_SIZES.get(dtype) if dtype is not None else None


ITEM_SIZES: dict[str, int] = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint64": 8,
    "uint32": 4,
    "uint16": 2,
    "uint8": 1,
    "bool": 1,
    "complex128": 16,
    "complex64": 8,
    "complex32": 4,
    "quint8": 1,
    "qint8": 1,
    "qint32": 4,
}
"""Bytes of an element, by torch's dtype name. Dtypes that pack several elements into a byte aren't here."""


Extents = dict[tuple[int, int], "tuple[int, int] | None"]


def describe(ref: TensorRef, extents: Extents | None = None) -> Tensor | None:
    """The tensor's facts, or None where the pickle's arguments aren't those of a tensor.

    ``extents`` remembers, by the identity of the tuples, what sizes and strides come to: layers repeat them, and the
    reader makes one tuple of equal ones. It may be used as long as the pickle's data is held.
    """
    if ref.written is not None:
        return ref.written.describe(ref)
    dtype = None if ref.dtype is None else dtype_name(ref.dtype)
    args = ref.args
    if len(args) < 4:
        return None
    storage, offset, shape, stride = args[:4]
    if type(offset) is not int or type(shape) is not tuple or type(stride) is not tuple or not 0 <= offset <= MAX_DIM:
        return None
    key = None
    if type(storage) is StorageRef:
        pid = storage.pid
        kind, key = pid[1], pid[2]
        if len(pid) > 5 and pid[5] is not None:
            start = _view_start(pid[5])
            if start is None:
                return None
            offset += start
        if type(key) is not str or type(kind) is not GlobalRef:
            return None
        dtype = dtype or STORAGE_DTYPES.get(kind.name)
    elif storage is not None:
        return None
    same = (id(shape), id(stride))
    if extents is not None and same in extents:
        reach = extents[same]
    else:
        reach = reach_of(shape, stride)
        if extents is not None:
            extents[same] = reach
    if dtype is None or reach is None or offset > MAX_DIM:
        return None
    numel, reached = reach
    return _new_tuple(Tensor, (dtype, shape, stride, offset, key, numel, offset + reached if numel else 0))


def reach_of(shape: tuple[Any, ...], stride: tuple[Any, ...]) -> tuple[int, int] | None:
    """How many elements there are, and how many of the storage they reach over; None for what are no sizes."""
    if len(shape) != len(stride) or len(shape) > MAX_DIMS:
        return None
    numel = reached = 1
    for size, step in zip(shape, stride, strict=True):
        if type(size) is not int or type(step) is not int or not 0 <= size <= MAX_DIM or not 0 <= step <= MAX_DIM:
            return None
        numel *= size
        reached += (size - 1) * step
    return (numel, reached) if numel <= MAX_DIM else None


def _view_start(view: object) -> int | None:
    """A view of a storage (torch before 0.4) is ``(key, offset, size)``."""
    if type(view) is tuple and len(view) == 3 and type(view[1]) is int and 0 <= view[1] <= MAX_DIM:
        return view[1]
    return None


def dtype_name(dtype: object) -> str | None:
    """torch's name of a dtype, told as text or as ``torch.float8_e4m3fn``."""
    if type(dtype) is str:
        return dtype
    return dtype.name if type(dtype) is GlobalRef and dtype.module == "torch" else None
