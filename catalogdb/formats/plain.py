"""Plain views of what a pickle was read into: mappings, scalars, and parameters flattened to dotted names.

Every walk is bounded in nodes and depth: a pickle can build a list that holds itself, or one that doubles at each
level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, cast

from catalogdb.formats.modules import is_module
from catalogdb.formats.numpy_arrays import describe_array
from catalogdb.formats.pickle_values import GlobalRef, Stub
from catalogdb.formats.tensors import ITEM_SIZES, TensorRef
from catalogdb.records import Scalar

MAX_PARAMS = 10_000
MAX_NODES = 100_000
MAX_DEPTH = 32
MAX_LIST = 32
MAX_TOP = 256
MAX_PLAIN = 20_000
MAX_NAME = 512
MAX_STRING = 4096

_NAMESPACES = frozenset({("argparse", "Namespace"), ("types", "SimpleNamespace")})
_NO_MAPPING: dict[Any, Any] = {}
_SKIPPED = object()
_AS_IT_STANDS = frozenset({float, bool, type(None)})
_MAY_BE_SCALARS = frozenset({str, int, float, bool, TensorRef, Stub})

ReadTensor = Callable[[TensorRef], "bool | int | float | None"]


def as_mapping(value: object) -> Mapping[Any, Any] | None:
    """``value`` as a mapping if it is one: dict, a dict's subclass, Namespace, OmegaConf's DictConfig; else None."""
    if type(value) is dict:
        return value
    if type(value) is not Stub:
        return None
    value = _unwrapped(value)
    if type(value) is dict:
        return value
    if type(value) is Stub:
        if (value.ref.module, value.ref.name) in _NAMESPACES and type(value.state) is dict:
            return value.state
        return value.items
    return None


def mapping_at(mapping: Mapping[Any, Any], key: str) -> Mapping[Any, Any]:
    """``mapping[key]`` as a mapping; an empty one where it is absent or something else."""
    found = as_mapping(mapping.get(key))
    return _NO_MAPPING if found is None else found


def as_text(value: object) -> str | None:
    value = _unwrapped(value)
    return value if type(value) is str and len(value) <= MAX_STRING else None


def as_count(value: object) -> int | None:
    """A non-negative int of 64 bits; a bool is none."""
    return value if type(value) is int and 0 <= value < 2**63 else None


def flatten(value: object, read_tensor: ReadTensor) -> dict[str, Scalar]:
    """The scalars below a mapping by dotted name, in its order; of two with one name, the first.

    Lists of up to MAX_LIST scalars are ``name.0``, ``name.1``, …; a tensor of one element is its number; an object, a
    dataclass's for one, is opened as the mapping of its public attributes. Other objects, classes and functions are
    named, as ``torch.nn.modules.activation.ReLU``. What is none of these is left out: longer lists, names beyond
    MAX_NAME, strings beyond MAX_STRING. Integers beyond 64 bits are written as text, since no column holds them.
    """
    found: dict[str, Scalar] = {}
    root = _inside(value)
    levels = [] if root is None else [("", root)]
    nodes = 0
    while levels:
        prefix, (entries, hides) = levels[-1]
        for key, value in entries:
            if nodes >= MAX_NODES or len(found) >= MAX_PARAMS:
                return found
            nodes += 1
            name = prefix + key if type(key) is str else _name(prefix, key)
            if name is None or len(name) > MAX_NAME or (hides and name.startswith("_", len(prefix))):
                continue
            scalar: Any = value if type(value) in _AS_IT_STANDS else _scalar(value, read_tensor)
            if scalar is not _SKIPPED:
                found.setdefault(name, scalar)
                continue
            below = _inside(value)
            if below is None:
                nodes += _add_list(found, name, value, read_tensor)
                if (named := _class_name(value)) is not None:
                    found.setdefault(name, named)
            elif len(levels) < MAX_DEPTH:
                levels.append((f"{name}.", below))
                break
        else:
            levels.pop()
    return found


def as_plain(value: object) -> dict[str, Any] | None:
    """A mapping out of mappings, lists and scalars, copied; None for anything else, or where something else is in it.

    Bounded in nodes and depth, since parts may stand in several places.
    """
    left = iter(range(MAX_PLAIN))
    copied = _copied(value, MAX_DEPTH, left) if as_mapping(value) is not None else _SKIPPED
    return cast("dict[str, Any]", copied) if copied is not _SKIPPED and next(left, None) is not None else None


def _copied(value: object, depth: int, left: Iterator[int]) -> object:
    if next(left, None) is None or depth == 0:
        return _SKIPPED
    value = _unwrapped(value)
    kind = type(value)
    if value is None or kind in (str, int, float, bool):
        return value
    mapping = as_mapping(value)
    if mapping is not None:
        copy = {key: _copied(item, depth - 1, left) for key, item in mapping.items() if type(key) is str}
        return _SKIPPED if len(copy) < len(mapping) or _SKIPPED in copy.values() else copy
    elements = _elements(value)
    if elements is None:
        return _SKIPPED
    items = [_copied(item, depth - 1, left) for item in elements]
    return _SKIPPED if _SKIPPED in items else items


def is_plain(value: object) -> bool:
    """Whether it is a scalar, or holds nothing but scalars, in mappings and lists of up to MAX_PLAIN."""
    left = MAX_PLAIN
    waiting = [value]
    while waiting:
        value = _unwrapped(waiting.pop())
        mapping = as_mapping(value)
        inside = mapping.values() if mapping is not None else _elements(value)
        if inside is not None:
            left -= len(inside) + 1
            if left < 0:
                return False
            waiting.extend(inside)
        elif value is not None and type(value) not in (str, bytes, int, float, bool):
            return False
    return True


def top_scalars(mapping: Mapping[Any, Any], read_tensor: ReadTensor) -> dict[str, Scalar]:
    """The scalars at the top of a checkpoint, by key; names and tensors of one element included, nulls left out."""
    found: dict[str, Scalar] = {}
    for key, value in islice(mapping.items(), MAX_TOP):
        if type(value) in _MAY_BE_SCALARS and type(key) is str and len(key) <= MAX_NAME:
            scalar = _scalar(value, read_tensor)
            if scalar is not _SKIPPED and scalar is not None:
                found[key] = scalar
    return found


def _inside(value: object) -> tuple[Iterator[tuple[Any, Any]], bool] | None:
    """The entries of a mapping, or the attributes of an object, and whether some of them are private.

    Pickle leaves the state of an object to ``object.__setstate__``: a dict, or ``(dict or null, dict of slots)``. Not
    opened are modules, which have too many that mean nothing.
    """
    mapping = as_mapping(value)
    if mapping is not None:
        return iter(mapping.items()), False
    if type(value) is not Stub or is_module(value) or _is_config(value):
        return None
    states = value.state if type(value.state) is tuple and len(value.state) == 2 else (value.state,)
    known = [state.items() for state in states if type(state) is dict]
    return (chain.from_iterable(known), True) if known else None


def _class_name(value: object) -> str | None:
    """What is named: a class or a function, or that of an object which isn't opened."""
    if type(value) is Stub and value.elements is None and not _is_config(value) and describe_array(value) is None:
        value = value.ref
    if type(value) is not GlobalRef or not value.module or value.name.startswith("_") or len(value.dotted) > MAX_NAME:
        return None
    return value.dotted.replace("__builtin__.", "builtins.")  # protocols 0 to 2 have Python 2's name


def _add_list(found: dict[str, Scalar], name: str, value: object, read_tensor: ReadTensor) -> int:
    """Adds a short list of scalars; how many elements were looked at."""
    elements = _elements(value)
    if elements is None or len(elements) > MAX_LIST:
        return 0
    scalars = [_scalar(element, read_tensor) for element in elements]
    if _SKIPPED not in scalars and len(found) + len(scalars) <= MAX_PARAMS:
        for index, scalar in enumerate(scalars):
            found.setdefault(f"{name}.{index}", scalar)
    return len(scalars)


def _name(prefix: str, key: object) -> str | None:
    """The dotted name for a key that is no text; null and bool keys as Python writes them."""
    return f"{prefix}{key}" if type(key) in (int, float, bool, type(None)) else None


def _scalar(value: object, read_tensor: ReadTensor) -> Any:
    """The value's scalar, or _SKIPPED."""
    if type(value) is Stub:
        value = _unwrapped(value)
    if type(value) is str:
        return value if len(value) <= MAX_STRING else _SKIPPED
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else _long(value)
    if value is None or type(value) is float or type(value) is bool:
        return value
    if type(value) is TensorRef:
        number = read_tensor(value)
        return _SKIPPED if number is None else number
    if type(value) is GlobalRef and value.module == "torch" and value.name in _DTYPES:
        return value.dotted
    return _SKIPPED


def _long(number: int) -> object:
    return str(number) if number.bit_length() <= 256 else _SKIPPED


def _elements(value: object) -> list[Any] | tuple[Any, ...] | None:
    value = _unwrapped(value)
    if type(value) is list or type(value) is tuple:
        return value
    if type(value) is Stub and value.items is None:
        return value.elements
    return None


def _is_config(value: Stub) -> bool:
    return value.ref.module.startswith("omegaconf.")


def _unwrapped(value: object) -> object:
    """OmegaConf's nodes without their wrapping.

    omegaconf 2.x pickles a container's state as a dict whose ``_content`` is a dict or list of nodes (or a str: an
    interpolation, ``???``; or null), and a leaf's as one whose ``_val`` is the value (``omegaconf/base.py``:
    Node, Container; read from what omegaconf 2.3 wrote). A UnionNode's ``_content`` is another node.
    """
    for _ in range(MAX_DEPTH):
        if type(value) is not Stub or type(value.state) is not dict or not _is_config(value):
            return value
        if "_content" in value.state:
            value = value.state["_content"]
        elif "_val" in value.state:
            value = value.state["_val"]
        else:
            return value
    return value


_DTYPES = frozenset(ITEM_SIZES) | {"half", "float", "double", "short", "int", "long", "cfloat", "cdouble", "chalf"}
