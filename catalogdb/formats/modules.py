"""A whole ``torch.nn.Module`` that was pickled, read as what its ``state_dict()`` would give.

``torch/nn/modules/module.py``: a module's attributes ``_parameters``, ``_buffers`` and ``_modules`` are dicts,
``_non_persistent_buffers_set`` a set of names that state_dict leaves out.
"""

from __future__ import annotations

from catalogdb.formats.pickle_values import Stub
from catalogdb.formats.source import Refused
from catalogdb.formats.tensors import TensorRef

MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_NAME = 1024


def is_module(value: object) -> bool:
    return type(value) is Stub and type(value.state) is dict and type(value.state.get("_modules")) is dict


def module_tensors(module: Stub) -> dict[str, TensorRef]:
    """Parameters and persistent buffers by dotted name, in the module's order. Bounded: a pickle can build a cycle."""
    found: dict[str, TensorRef] = {}
    pending: list[tuple[str, object, int]] = [("", module, 0)]
    nodes = 0
    while pending:
        prefix, value, depth = pending.pop()
        nodes += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH or len(prefix) > MAX_NAME:
            raise Refused("the pickled module is too deep or too large")
        if type(value) is not Stub or type(value.state) is not dict:
            continue
        hidden = value.state.get("_non_persistent_buffers_set")
        left_out = {name for name in hidden if type(name) is str} if isinstance(hidden, (list, tuple)) else set()
        for kind in ("_parameters", "_buffers"):
            own = value.state.get(kind)
            for name, tensor in own.items() if type(own) is dict else ():
                if type(name) is str and type(tensor) is TensorRef and (kind == "_parameters" or name not in left_out):
                    found[prefix + name] = tensor
                nodes += 1
        below = value.state.get("_modules")
        if type(below) is dict:
            inner = [(f"{prefix}{name}.", child, depth + 1) for name, child in below.items() if type(name) is str]
            pending.extend(reversed(inner))
            nodes += len(below) // 16
    return found
