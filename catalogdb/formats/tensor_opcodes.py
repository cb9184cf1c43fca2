"""Tensors as torch.save writes them, a tensor and its key at one go. What doesn't match goes through the loop: tied
ones, other protocols.

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
from itertools import chain
from typing import Any, NamedTuple

from catalogdb.formats.pickle_machine import Machine
from catalogdb.formats.pickle_rebuild import KNOWN, build_dict, build_tensor, build_tensor_v3, charge_text
from catalogdb.formats.pickle_values import GlobalRef
from catalogdb.formats.source import over
from catalogdb.formats.tensors import STORAGE_DTYPES, StorageRef, Tensor, TensorRef, dtype_name, reach_of
from catalogdb.limits import Limits

_Match = Callable[[bytes, int], "re.Match[bytes] | None"]

_GET = rb"(?:h.|j.[^\x00][\x00-\x0f]\x00)"
_INT = rb"(?:K.|M..|J...[\x00-\x7f])"
_NAMES = rb"(%b)" % b"|".join(rb"\x0%d\x00\x00\x00[0-9]{%d}" % (count, count) for count in range(1, 8))
"""A storage's: a number of up to seven digits, after its length."""

_ONE_INT = re.compile(_INT, re.DOTALL)


def _entry(put: bytes, get: bytes, types: bytes, location: bytes, hooks: bytes) -> _Match:
    """The pattern of a tensor and of what stands before it, with PUTs of one width. ``types``, ``location`` and
    ``hooks`` are what tensors have in common."""
    sizes = rb"(?:\)|(%b(?:\x85|%b(?:\x86|%b\x87))|\(%b{4,8}t)%b)" % (_INT, _INT, _INT, _INT, put)
    key = rb"(?:(?:u(%b)}%b\()?(?:X(.\x00\x00\x00[ -~]{1,255})%b|(%b))(%b))?" % (_INT, put, put, get, get)
    storage = rb"\(\((%b)X%b%b(%b)(%bN?)t%bQ" % (types, _NAMES, put, location, _INT, put)
    rest = rb"(%b)%b%b([\x88\x89])(%b)\)R%b(%b)?t%bR%b" % (_INT, sizes, sizes, hooks, put, get, put, put)
    return re.compile(key + storage + rest, re.DOTALL).match


_SHORT = _entry(rb"q(.)", rb"h.", rb"h.h.", rb"h.", rb"h.")
_LONG = _entry(rb"r(.[^\x00][\x00-\x0f]\x00)", _GET, _GET + _GET, _GET, _GET)
"""With indexes of one byte, up to 255, and of four. With both, it is left to the loop."""
_FIRST = _entry(
    rb"q(.)",
    rb"h.",
    rb"X\x07\x00\x00\x00storageq.ctorch\n[A-Za-z0-9]{1,32}\nq.",
    rb"X.\x00\x00\x00[a-z0-9:]{1,32}q.",
    rb"ccollections\nOrderedDict\nq.",
)
"""A file's first, which all others refer to."""
_FIRST_KIND, _FIRST_LOCATION = slice(15, -2), slice(5, -2)
_ORDERED = KNOWN[b"collections\nOrderedDict\n"]

_TEXT, _BINGET = b"X", 0x68

_NAME, _PUT_NAME, _COUNT, _PUT_ID, _OFFSET = 7, 8, 10, 11, 12
_SHAPE, _PUT_SHAPE, _STRIDE, _PUT_STRIDE, _GRAD = 13, 14, 15, 16, 17
_PUT_HOOKS, _PUT_ARGS = 19, 21


TENSOR_COST = 10
"""How many opcodes a tensor read at one go counts for: in a pickle of very many it takes their time."""


class Rewritten(Exception):
    """A PUT at an index that is taken, after so many tensors: all has to be read anew, and nothing of it at one go."""

    def __init__(self, tensors: int) -> None:
        super().__init__()
        self.tensors = tensors


Sizes = tuple[int, ...]


@lru_cache(maxsize=4096)
def read_sizes(raw: bytes | None) -> Sizes:
    """The tuple that ``raw`` pushes with TUPLE1 to TUPLE3, or MARK … TUPLE. Layers and checkpoints repeat them."""
    opcodes = _ONE_INT.findall(raw, 1 if raw[0] == 0x28 else 0) if raw else ()
    return tuple(map(number, opcodes))


@lru_cache(maxsize=4096)
def describe_sizes(shape: bytes | None, stride: bytes | None) -> tuple[Sizes, Sizes, int, int] | None:
    """Both, and what they come to: as ``reach_of``."""
    sizes, steps = read_sizes(shape), read_sizes(stride)
    reach = reach_of(sizes, steps)
    return None if reach is None else (sizes, steps, *reach)


def number(raw: bytes) -> int:
    """A BININT1, BININT2 or (positive) BININT."""
    return int.from_bytes(raw[1:], "little")


class Written(NamedTuple):
    """What tensors that were read at one go have in common. ``TensorRef.parts`` are the groups of the pattern.

    ``kind`` is the storage's type, ``last`` is an argument behind the hooks, ``told`` is the same where the function
    takes it for the dtype, ``dtype`` is what that comes to.
    """

    kind: GlobalRef
    location: str
    last: GlobalRef | None
    told: GlobalRef | None
    dtype: str | None

    def read_args(self, ref: TensorRef) -> tuple[Any, ...]:
        return self._args(ref.parts, StorageRef(self.read_id(ref)))

    def _args(self, parts: tuple[bytes, ...], storage: object) -> tuple[Any, ...]:
        sizes, steps = read_sizes(parts[_SHAPE]), read_sizes(parts[_STRIDE])
        args: tuple[Any, ...] = (storage, number(parts[_OFFSET]), sizes, steps, parts[_GRAD] == b"\x88", {})
        return args if self.last is None else (*args, self.last)

    def read_id(self, ref: TensorRef) -> tuple[Any, ...]:
        """The storage's persistent id."""
        count = ref.parts[_COUNT]
        width = {0x4B: 2, 0x4D: 3, 0x4A: 5}[count[0]]
        pid = ("storage", self.kind, str(ref.parts[_NAME][4:], "ascii"), self.location, number(count[:width]))
        return pid if len(count) == width else (*pid, None)

    def describe(self, ref: TensorRef) -> Tensor | None:
        parts, dtype = ref.parts, self.dtype
        sizes = describe_sizes(parts[_SHAPE], parts[_STRIDE])
        if dtype is None or sizes is None:
            return None
        shape, stride, numel, reached = sizes
        offset = int.from_bytes(parts[_OFFSET][1:], "little")
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
            begins = _FIRST if machine.data.startswith(_TEXT, pos + 2) else _SHORT
            pos = self._read_run(machine, pos, begins, _SHORT)
        return self._read_run(machine, pos, _LONG, _LONG) if len(machine.memo) > 255 else pos

    def _read_run(self, machine: Machine, pos: int, begins: _Match, follows: _Match) -> int:
        """One function, and long: it does what some 35 opcodes do, in the time of three.

        What the memo has is looked up before anything is put into it; where it isn't all there, nothing is changed.
        """
        data, stack, memo, get = machine.data, machine.stack, machine.memo, machine.memo.get
        last, shared, key = None, None, None
        count, most = self.count, self._limits.tensors
        pairs: list[Any] = []  # keys and tensors that the loop would have on its stack
        inner: dict[Any, Any] | None = None  # a parameter's; it is given its pairs at once
        filled = 0  # how many
        found, find = begins(data, pos), _define if begins is _FIRST else _look_up
        while found is not None:
            parts = found.groups()
            (
                param, put_dict, text, put_text, known, function, types, _, put_name, location, _,
                put_id, _, shape, put_shape, stride, put_stride, _, hooks, put_hooks, dtype, put_args, put_tensor,
            ) = parts  # fmt: skip
            indexes = (function, types, location, hooks, dtype)
            if indexes != last:
                if function is None and (pairs or filled):
                    break
                called = stack[-1] if function is None else get(function[1:])
                shared = find(memo, called, types, location, hooks, dtype)
                last, find = None if function is None else indexes, _look_up
            if shared is None:
                break
            if known is not None:
                key = get(known[1:])
                if type(key) is not str:
                    break
            elif text is not None:
                if text[0] != len(text) - 4:
                    break
                charge_text(machine.meter, text[0])
                key = str(text[4:], "ascii")
            count += 1
            if count > most:
                raise over(self._limits, "tensors", "more tensors")
            pos = found.end()

            ref = _new_ref(TensorRef)
            ref.given, ref.dtype, ref.written, ref.parts = None, shared.told, shared, parts
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
                    pairs.clear()
                    machine.update(machine.from_mark())
                    machine.marks.append(0)
                memo[put_dict] = inner = {}
                filled = 0
                puts += 1
                stack += (int.from_bytes(param[1:], "little"), inner)
                machine.marks[-1] = len(stack)
            if len(memo) != puts:
                raise Rewritten(count)
            if function is None:
                stack[-1] = ref
            elif inner is None:
                pairs += (key, ref)
            else:
                inner[key] = ref
                filled += 1
            if self._persistent is not None:
                shared.place(self._persistent, ref, memo)
            found = follows(data, pos)
        self.count = count
        if inner is not None:
            if len(inner) != filled:
                raise Rewritten(count)
            pairs.extend(chain.from_iterable(inner.items()))
            inner.clear()
        stack += pairs
        return pos


def _define(
    memo: dict[bytes, Any], function: object, types: bytes, location: bytes, hooks: bytes, dtype: bytes | None
) -> Written | None:
    """As ``_look_up``, of what stands there in full, and is put into the memo."""
    kind, place = KNOWN.get(types[_FIRST_KIND]), location[_FIRST_LOCATION]
    if type(function) is not GlobalRef or function.build is not build_tensor or dtype is not None:
        return None
    if kind is None or location[1] != len(place):
        return None
    shared = Written(kind, str(place, "ascii"), None, None, STORAGE_DTYPES.get(kind.name))
    defined = {types[13:14]: "storage", types[-1:]: kind, location[-1:]: shared.location, hooks[-1:]: _ORDERED}
    if len(defined) < 4 or not memo.keys().isdisjoint(defined):
        return None
    memo.update(defined)
    return shared


def _look_up(
    memo: dict[bytes, Any], function: object, types: bytes, location: bytes, hooks: bytes, dtype: bytes | None
) -> Written | None:
    """What the GETs that tensors have in common stand for; None where the loop makes something else of them."""
    second = 2 if types[0] == _BINGET else 5
    first, kind = memo.get(types[1:second]), memo.get(types[second + 1 :])
    ordered, place, told = memo.get(hooks[1:]), memo.get(location[1:]), None if dtype is None else memo.get(dtype[1:])
    if type(function) is not GlobalRef or type(ordered) is not GlobalRef or ordered.build is not build_dict:
        return None
    if first != "storage" or type(kind) is not GlobalRef or type(place) is not str:
        return None
    if dtype is not None and type(told) is not GlobalRef:
        return None
    if function.build is build_tensor:
        return Written(kind, place, told, None, STORAGE_DTYPES.get(kind.name))
    if told is None or function.build is not build_tensor_v3:
        return None
    return Written(kind, place, told, told, dtype_name(told) or STORAGE_DTYPES.get(kind.name))
