"""Tensors as torch.save writes them, a tensor and its key at one go. What doesn't match goes through the loop:
a file's first tensor, tied ones, other protocols.

``torch/_tensor.py`` (_reduce_ex_internal) and ``torch/serialization.py`` (persistent_id), pickled with protocol 2:
about 30 opcodes, all but their numbers alike. Between two tensors stands the next one's key; between the last one of a
parameter's optimizer state and the first one of the next, the end of a dict, a number and another dict. Matched as a
whole this takes a third of the loop's time, and no object but one is made of a tensor that nobody asks for.

The outcome is the loop's, also for pickles that no pickler writes: nothing is read at one go unless each PUT in it
is the first at its index, so that it doesn't matter when what stands there is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from catalogdb.formats.pickle_machine import Machine
from catalogdb.formats.pickle_rebuild import build_dict, build_tensor, build_tensor_v3, charge_text
from catalogdb.formats.pickle_values import GlobalRef
from catalogdb.formats.source import over
from catalogdb.formats.tensors import STORAGE_DTYPES, StorageRef, Tensor, TensorRef, reach_of
from catalogdb.limits import Limits

_Match = Callable[[bytes, int], "re.Match[bytes] | None"]

_GET = rb"[hj]((?<=h).|(?<=j).(?!\x00\x00\x00).[\x00-\x0f]\x00)"
_INT = rb"(?:K.|M..|J...[\x00-\x7f])"
_ONE_INT = re.compile(_INT, re.DOTALL)


def _entry(put: bytes) -> _Match:
    """The pattern of a tensor and of what stands before it, with PUTs of one width."""
    sizes = rb"(?:\)|(%b\x85|%b\x86|%b\x87|\(%bt)%b)" % (_INT, _INT * 2, _INT * 3, _INT + rb"{4,8}", put)
    key = rb"(?:(?:u(%b)}%b\()?(?:X(.\x00\x00\x00[ -~]{1,255})%b|%b)%b)?" % (_INT, put, put, _GET, _GET)
    storage = rb"\(\(%b%bX(.\x00\x00\x00[0-9]{1,20})%b%b(%bN?)t%bQ" % (_GET, _GET, put, _GET, _INT, put)
    rest = rb"(%b)%b%b([\x88\x89])%b\)R%b(?:%b)?t%bR%b" % (_INT, sizes, sizes, _GET, put, _GET, put, put)
    return re.compile(key + storage + rest, re.DOTALL).match


_SHORT = _entry(rb"q(.)")
_LONG = _entry(rb"r(.[^\x00][\x00-\x0f]\x00)")
"""With indexes of one byte, up to 255, and of four. With both, it is left to the loop."""

_NAME, _PUT_NAME, _COUNT, _PUT_ID, _OFFSET = 8, 9, 11, 12, 13
_SHAPE, _PUT_SHAPE, _STRIDE, _PUT_STRIDE, _GRAD = 14, 15, 16, 17, 18
_PUT_HOOKS, _PUT_ARGS = 20, 22


class Rewritten(Exception):
    """A PUT at an index that is taken: the pickle has to be read anew, and nothing of it at one go."""


Described = tuple[tuple[int, ...], tuple[int, ...], "tuple[int, int] | None"]


@lru_cache(maxsize=4096)
def read_sizes(raw: bytes | None) -> tuple[int, ...]:
    """The tuple that ``raw`` pushes with TUPLE1 to TUPLE3, or MARK … TUPLE. Layers and checkpoints repeat them."""
    opcodes = _ONE_INT.findall(raw, 1 if raw[0] == 0x28 else 0) if raw else ()
    return tuple(map(number, opcodes))


@lru_cache(maxsize=4096)
def describe_sizes(shape: bytes | None, stride: bytes | None) -> Described:
    """Both, and what they come to."""
    sizes, steps = read_sizes(shape), read_sizes(stride)
    return sizes, steps, reach_of(sizes, steps)


def number(raw: bytes) -> int:
    """A BININT1, BININT2 or (positive) BININT."""
    return int.from_bytes(raw[1:], "little")


class Written(NamedTuple):
    """What tensors that were read at one go have in common. ``told`` is the dtype where the function is told it.

    ``TensorRef.parts`` are the groups of the pattern, ``TensorRef.kind`` is the storage's type.
    """

    location: str
    dtype: GlobalRef | None
    told: GlobalRef | None

    def read_args(self, ref: TensorRef) -> tuple[Any, ...]:
        return self._args(ref.parts, StorageRef(self.read_id(ref)))

    def _args(self, parts: tuple[bytes, ...], storage: object) -> tuple[Any, ...]:
        sizes, steps = read_sizes(parts[_SHAPE]), read_sizes(parts[_STRIDE])
        args: tuple[Any, ...] = (storage, number(parts[_OFFSET]), sizes, steps, parts[_GRAD] == b"\x88", {})
        return args if self.dtype is None else (*args, self.dtype)

    def read_id(self, ref: TensorRef) -> tuple[Any, ...]:
        """The storage's persistent id."""
        count = ref.parts[_COUNT]
        width = {0x4B: 2, 0x4D: 3, 0x4A: 5}[count[0]]
        pid = ("storage", ref.kind, str(ref.parts[_NAME][4:], "ascii"), self.location, number(count[:width]))
        return pid if len(count) == width else (*pid, None)

    def describe(self, ref: TensorRef, dtype: str | None) -> Tensor | None:
        parts = ref.parts
        shape, stride, reach = describe_sizes(parts[_SHAPE], parts[_STRIDE])
        dtype = dtype or STORAGE_DTYPES.get(ref.kind.name)
        if dtype is None or reach is None:
            return None
        offset = number(parts[_OFFSET])
        numel, reached = reach
        extent = offset + reached if numel else 0
        return _new_tuple(Tensor, (dtype, shape, stride, offset, str(parts[_NAME][4:], "ascii"), numel, extent))

    def place(self, persistent: Callable[[object], object], ref: TensorRef, memo: dict[bytes, Any]) -> None:
        """Asks ``persistent`` for the storage now."""
        pid = self.read_id(ref)
        storage = persistent(pid)
        ref.given = self._args(ref.parts, storage)
        if type(storage) is not StorageRef or storage.pid is not pid:
            self.spread(ref, memo)

    def spread(self, ref: TensorRef, memo: dict[bytes, Any]) -> None:
        """Puts the parts where the memo has ``ref`` for them; what was put over one of them since stays."""
        args, pid = ref.args, self.read_id(ref)
        places = (_PUT_NAME, _PUT_ID, _PUT_SHAPE, _PUT_STRIDE, _PUT_HOOKS, _PUT_ARGS)
        for place, part in zip(places, (pid[2], pid, *args[2:4], args[5], args), strict=True):
            index = ref.parts[place]
            if index is not None and memo[index] is ref:
                memo[index] = part
        ref.written = None


_new_tuple = tuple.__new__
_new_ref: Callable[[type[TensorRef]], TensorRef] = object.__new__
"""Without ``__init__``, which takes as long as all the rest of it."""


class TensorReader:
    """Reads tensors at one go. ``persistent`` stands for a storage's object where one is asked for, each in turn."""

    def __init__(self, persistent: Callable[[object], object] | None, limits: Limits) -> None:
        self._persistent = persistent
        self._limits = limits
        self.count = 0

    def read(self, machine: Machine, pos: int) -> int:
        """The tensor whose arguments begin at ``pos``, and those that follow it. Where that ends: ``pos``, if none."""
        if len(machine.memo) <= 255:
            pos = self._read_run(machine, pos, _SHORT)
        return self._read_run(machine, pos, _LONG) if len(machine.memo) > 255 else pos

    def _read_run(self, machine: Machine, pos: int, match: _Match) -> int:
        """One function, and long: it does what some 35 opcodes do, in the time of three.

        What the memo has is looked up before anything is put into it; where it isn't all there, nothing is changed.
        """
        data, stack, memo, get = machine.data, machine.stack, machine.memo, machine.memo.get
        last, shared, key = None, None, None
        count, most = self.count, self._limits.tensors
        inner: dict[Any, Any] | None = None
        pairs: list[Any] = []  # keys and tensors that the loop would have on its stack
        while (found := match(data, pos)) is not None:
            parts = found.groups()
            (
                param, put_dict, text, put_text, known, function, first, storage_type, name, put_name, location, _,
                put_id, _, shape, put_shape, stride, put_stride, _, hooks, put_hooks, dtype, put_args, put_tensor,
            ) = parts  # fmt: skip
            indexes = (function, first, location, hooks, dtype)
            if function is None and pairs:
                break
            if indexes != last or function is None:
                called = stack[-1] if function is None else get(function)
                shared = _look_up(memo, called, *indexes[1:])
                last = indexes
            kind, key = get(storage_type), None
            if shared is None or type(kind) is not GlobalRef or name[0] != len(name) - 4:
                break
            if text is not None:
                if text[0] != len(text) - 4:
                    break
                charge_text(machine.meter, text[0])
                key = str(text[4:], "ascii")
            elif known is not None:
                key = get(known)
                if type(key) is not str:
                    break
            count += 1
            if count > most:
                raise over(self._limits, "tensors", "more tensors")
            pos = found.end()

            ref = _new_ref(TensorRef)
            ref.given = None
            ref.dtype = shared.told
            ref.written, ref.kind, ref.parts = shared, kind, parts
            puts = len(memo) + 5
            memo[put_name] = memo[put_id] = memo[put_hooks] = memo[put_args] = memo[put_tensor] = ref
            if shape is not None:
                memo[put_shape] = ref
                puts += 1
            if stride is not None:
                memo[put_stride] = ref
                puts += 1
            if text is not None:
                memo[put_text] = key
                puts += 1
            if param is not None:
                if inner is None:
                    stack += pairs
                    machine.update(machine.from_mark())
                    machine.marks.append(0)
                else:
                    inner.update(zip(pairs[::2], pairs[1::2], strict=True))
                pairs = []
                memo[put_dict] = inner = {}
                puts += 1
                stack += (int.from_bytes(param[1:], "little"), inner)
                machine.marks[-1] = len(stack)
            if len(memo) != puts:
                raise Rewritten
            if function is None:
                stack[-1] = ref
            else:
                pairs += (key, ref)
            if self._persistent is not None:
                shared.place(self._persistent, ref, memo)
        self.count = count
        stack += pairs
        return pos


def _look_up(
    memo: dict[bytes, Any],
    function: object,
    first: bytes,
    location: bytes,
    hooks: bytes,
    dtype: bytes | None,
) -> Written | None:
    """What the indexes that tensors have in common stand for; None where the loop makes something else of them."""
    ordered, place, told = memo.get(hooks), memo.get(location), None if dtype is None else memo.get(dtype)
    if type(function) is not GlobalRef or type(ordered) is not GlobalRef or ordered.build is not build_dict:
        return None
    if memo.get(first) != "storage" or type(place) is not str or (dtype is not None and type(told) is not GlobalRef):
        return None
    if function.build is build_tensor:
        return Written(place, told, None)
    return Written(place, told, told) if told is not None and function.build is build_tensor_v3 else None
