"""numpy arrays in a pickle, described. Their bytes stay what they are.

``numpy/core/src/multiarray/methods.c`` (array_reduce, array_setstate): a call of ``_reconstruct`` with the state
``(version, shape, dtype, is_fortran, bytes)``; a dtype is ``dtype('f4', False, True)`` with a state.
"""

from __future__ import annotations

from catalogdb.formats.pickle_values import Stub
from catalogdb.formats.tensors import Tensor, contiguous

_DTYPES = {
    "f8": "float64",
    "f4": "float32",
    "f2": "float16",
    "i8": "int64",
    "i4": "int32",
    "i2": "int16",
    "i1": "int8",
    "u8": "uint64",
    "u4": "uint32",
    "u2": "uint16",
    "u1": "uint8",
    "b1": "bool",
    "c8": "complex64",
    "c16": "complex128",
}
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")


def describe_array(value: Stub) -> Tensor | None:
    """The array's dtype and shape, None for anything else. It has no storage that could be shared."""
    state = value.state
    if value.ref.name != "_reconstruct" or value.ref.module not in _MODULES or type(state) is not tuple:
        return None
    shape, dtype = (state[1], state[2]) if len(state) == 5 else (None, None)
    if type(shape) is not tuple or type(dtype) is not Stub or not dtype.args:
        return None
    code = dtype.args[0]
    name = _DTYPES.get(code) if type(code) is str else None
    return None if name is None else contiguous(name, shape)
