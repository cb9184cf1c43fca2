"""The calls in a pickle that are read as plain data. Every other call becomes a Stub.

A builder never raises for arguments it doesn't know: it falls back to a Stub. What it copies is charged to the
Meter first, since a pickle can hand it the same long list again and again for one byte each.
"""

from __future__ import annotations

import ntpath
import posixpath
import struct
from typing import Any

from catalogdb.formats.numpy_arrays import describe_array
from catalogdb.formats.pickle_values import Builder, GlobalRef, Meter, OpaqueKey, Stub
from catalogdb.formats.source import over
from catalogdb.formats.tensors import TensorRef, contiguous, describe

_MAX_PATH = 4096
_KEY_TYPES = frozenset({str, int, float, bool, type(None), bytes, GlobalRef})


def stub(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    return Stub(ref, args)


def safe_key(key: object) -> object:
    """``key`` if it can be hashed in bounded time, else an OpaqueKey around it.

    Only ints of 64 bits: longer ones can be made to collide by the thousand (hash is modulo 2**61 - 1).
    """
    if type(key) in _KEY_TYPES and (type(key) is not int or -(2**63) <= key < 2**64):
        return key
    return OpaqueKey(key)


def charge_work(meter: Meter, amount: int) -> None:
    meter.work -= amount
    if meter.work < 0:
        raise over(meter.limits, "pickle_containers", "more containers, or items copied, in a pickle")


def charge_text(meter: Meter, amount: int) -> None:
    meter.text -= amount
    if meter.text < 0:
        raise over(meter.limits, "pickle_text", "more text in a pickle")


def build_dict(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``OrderedDict()``, ``OrderedDict([(key, value), …])`` (protocols 0 and 1), ``Counter({…})``."""
    if not args:
        return {}
    if len(args) != 1 or type(args[0]) not in (dict, list, tuple):
        return Stub(ref, args)
    charge_work(meter, len(args[0]))
    if type(args[0]) is dict:
        return dict(args[0])
    made: dict[Any, Any] = {}
    for pair in args[0]:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            return Stub(ref, args)
        made[safe_key(pair[0])] = pair[1]
    return made


def _defaultdict(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    return build_dict(ref, args[1:], meter)


def _sequence(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``set([…])``, ``frozenset([…])``, ``torch.Size((…))``: a list or tuple, so that nothing is hashed."""
    if not args:
        return []
    if len(args) != 1 or type(args[0]) not in (list, tuple):
        return Stub(ref, args)
    return args[0]


def _posix_path(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    return posixpath.join(*args) if _are_path_parts(args) else Stub(ref, args)


def _windows_path(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    return ntpath.join(*args) if _are_path_parts(args) else Stub(ref, args)


def _are_path_parts(args: tuple[Any, ...]) -> bool:
    if not 0 < len(args) <= _MAX_PATH or any(type(part) is not str for part in args):
        return False
    return sum(map(len, args)) + len(args) <= _MAX_PATH


def build_tensor(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``_rebuild_tensor(storage, offset, size, stride)``, ``_rebuild_tensor_v2(…, requires_grad, hooks)``."""
    return TensorRef(args)


def build_tensor_v3(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``(storage, offset, size, stride, requires_grad, hooks, dtype)``: dtypes without a storage type of their own."""
    return TensorRef(args, args[6]) if len(args) > 6 else Stub(ref, args)


def _meta_tensor(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``(dtype, size, stride, requires_grad)``: a tensor without a storage."""
    return TensorRef((None, 0, args[1], args[2]), args[0]) if len(args) > 2 else Stub(ref, args)


def _first_tensor(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``_rebuild_parameter(data, requires_grad, hooks)`` and its like: the tensor itself."""
    return args[0] if args and type(args[0]) is TensorRef else Stub(ref, args)


def _sparse_tensor(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``(layout, data)``; data: ``(indices, values, size, …)`` for COO, else ``(compressed, plain, values, size)``.

    Described as what it stands for: the whole size, in the dtype of its values, without a storage.
    """
    data = args[1] if len(args) > 1 else None
    if type(data) is not tuple:
        return Stub(ref, args)
    tensors = [part for part in data[:3] if type(part) is TensorRef]
    sizes = [part for part in data[2:4] if type(part) is tuple]
    values = describe(tensors[-1]) if tensors else None
    whole = contiguous("", sizes[0]) if sizes else None
    if values is None or whole is None:
        return Stub(ref, args)
    return TensorRef((None, 0, whole.shape, whole.stride), values.dtype)


def _wrapper_subclass(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``(cls, dtype, size, stride, storage_offset, …)``: FakeTensor, DTensor and their like, without a storage."""
    return TensorRef((None, 0, args[2], args[3]), args[1]) if len(args) > 3 else Stub(ref, args)


def _from_numpy(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``_rebuild_device_tensor_from_numpy(array, dtype, device, requires_grad)``."""
    array = describe_array(args[0]) if args and type(args[0]) is Stub else None
    return Stub(ref, args) if array is None else TensorRef((None, 0, array.shape, array.stride), array.dtype)


def _from_type(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``_rebuild_from_type_v2(function, type, args, state)``: a tensor subclass; the inner call is made, one deep."""
    if len(args) > 2 and type(args[0]) is GlobalRef and type(args[2]) is tuple and args[0].build in _TENSOR_BUILDERS:
        return args[0].build(args[0], args[2], meter)
    return Stub(ref, args)


def _device(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``torch.device('cuda', 0)`` as torch prints it."""
    if len(args) == 1 and type(args[0]) is str:
        return args[0]
    if len(args) == 2 and type(args[0]) is str and type(args[1]) is int and len(args[0]) < 64:
        return f"{args[0]}:{args[1]}"
    return Stub(ref, args)


def _encode(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``_codecs.encode(text, 'latin1')``: how protocols 0 to 2 write bytes."""
    if len(args) != 2 or type(args[0]) is not str or args[1] not in ("latin1", "latin-1"):
        return Stub(ref, args)
    charge_text(meter, len(args[0]) + 64)
    try:
        return args[0].encode("latin-1")
    except UnicodeEncodeError:
        return Stub(ref, args)


def _bytes(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``bytes()``: how protocols 0 to 2 write ``b""``."""
    return Stub(ref, args) if args else b""


_NUMPY_CODES = {"f8": "d", "f4": "f", "f2": "e", "b1": "?"} | {
    f"{sign}{size}": code
    for sign, codes in (("i", "bhiq"), ("u", "BHIQ"))
    for size, code in zip((1, 2, 4, 8), codes, strict=True)
}


def _numpy_scalar(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``numpy.core.multiarray.scalar(dtype, bytes)``; the dtype is ``dtype('f8', …)`` with state ``(3, '<', …)``."""
    if len(args) != 2 or type(args[0]) is not Stub or type(args[1]) is not bytes:
        return Stub(ref, args)
    dtype = args[0]
    code = _NUMPY_CODES.get(dtype.args[0]) if dtype.args and type(dtype.args[0]) is str else None
    order = dtype.state[1] if type(dtype.state) is tuple and len(dtype.state) > 1 else "<"
    if code is None or len(args[1]) != struct.calcsize(f"<{code}"):
        return Stub(ref, args)
    return struct.unpack(f">{code}" if order == ">" else f"<{code}", args[1])[0]


def _newobj(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``copyreg.__newobj__(cls, *args)``: NEWOBJ as protocols 0 and 1 write it."""
    if not args or type(args[0]) is not GlobalRef or args[0].build is _newobj:
        return Stub(ref, args)
    charge_work(meter, len(args))
    return args[0].build(args[0], args[1:], meter)


def _reconstructor(ref: GlobalRef, args: tuple[Any, ...], meter: Meter) -> object:
    """``copyreg._reconstructor(cls, base, state)``: an object (protocols 0 and 1); ``state`` is a dict's content."""
    if len(args) != 3 or type(args[0]) is not GlobalRef:
        return Stub(ref, args)
    if type(args[2]) is dict and args[0].build is build_dict:
        return build_dict(args[0], args[2:], meter)
    made = Stub(args[0], ())
    if type(args[2]) is dict:
        made.items = args[2]
    elif type(args[2]) is list:
        made.elements = args[2]
    return made


_TENSOR_BUILDERS: frozenset[Builder] = frozenset(
    (build_tensor, build_tensor_v3, _meta_tensor, _first_tensor, _sparse_tensor, _wrapper_subclass, _from_numpy)
)

_TORCH = "torch._utils"
_BUILDERS: dict[tuple[str, str], Builder] = {
    ("collections", "OrderedDict"): build_dict,
    ("collections", "Counter"): build_dict,
    ("collections", "defaultdict"): _defaultdict,
    ("lightning.fabric.utilities.data", "AttributeDict"): build_dict,
    ("lightning_fabric.utilities.data", "AttributeDict"): build_dict,
    ("lightning.pytorch.utilities.parsing", "AttributeDict"): build_dict,
    ("pytorch_lightning.utilities.parsing", "AttributeDict"): build_dict,
    (_TORCH, "_rebuild_tensor"): build_tensor,
    (_TORCH, "_rebuild_tensor_v2"): build_tensor,
    (_TORCH, "_rebuild_qtensor"): build_tensor,
    (_TORCH, "_rebuild_tensor_v3"): build_tensor_v3,
    (_TORCH, "_rebuild_meta_tensor_no_storage"): _meta_tensor,
    (_TORCH, "_rebuild_parameter"): _first_tensor,
    (_TORCH, "_rebuild_parameter_with_state"): _first_tensor,
    (_TORCH, "_rebuild_device_tensor_from_cpu_tensor"): _first_tensor,
    (_TORCH, "_rebuild_device_tensor_from_numpy"): _from_numpy,
    (_TORCH, "_rebuild_sparse_tensor"): _sparse_tensor,
    (_TORCH, "_rebuild_nested_tensor"): _first_tensor,  # its buffer
    (_TORCH, "_rebuild_wrapper_subclass"): _wrapper_subclass,
    ("torch.nn.parameter", "Parameter"): _first_tensor,
    ("torch._tensor", "_rebuild_from_type_v2"): _from_type,
    ("torch", "Size"): _sequence,
    ("torch", "device"): _device,
    ("_codecs", "encode"): _encode,
    ("numpy.core.multiarray", "scalar"): _numpy_scalar,
    ("numpy._core.multiarray", "scalar"): _numpy_scalar,
}
_BUILDERS |= {
    (module, name): builder
    for module in ("builtins", "__builtin__")
    for name, builder in (
        ("bytes", _bytes),
        ("dict", build_dict),
        ("set", _sequence),
        ("frozenset", _sequence),
        ("list", _sequence),
    )
}
_BUILDERS |= {
    (module, name): builder
    for module in ("pathlib", "pathlib._local")  # the second is Python 3.13's
    for name, builder in (
        ("PosixPath", _posix_path),
        ("PurePosixPath", _posix_path),
        ("WindowsPath", _windows_path),
        ("PureWindowsPath", _windows_path),
    )
}
_BUILDERS |= {
    (module, name): builder
    for module in ("copyreg", "copy_reg")
    for name, builder in (("__newobj__", _newobj), ("_reconstructor", _reconstructor))
}


def make_global(module: str, name: str) -> GlobalRef:
    """A reference to ``module.name`` that knows whether calling it can be read as data. Imports nothing."""
    return GlobalRef(module, name, _BUILDERS.get((module, name), stub))


KNOWN: dict[bytes, GlobalRef] = {
    f"{module}\n{name}\n".encode(): make_global(module, name)
    for module, name in (*_BUILDERS, *(("torch", f"{kind}Storage") for kind in ("Float", "Half", "BFloat16", "Long")))
}
"""What nearly every checkpoint names, as GLOBAL writes it: finding it whole takes a quarter of parsing two lines."""
