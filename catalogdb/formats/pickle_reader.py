"""An interpreter of pickle opcodes that builds data and never looks up, imports or calls anything.

It is one loop over the bytes, without recursion, and holds its bounds before the memory or the time is spent:

- steps: each makes at most about 90 bytes that aren't in the pickle (persistent ids and rare ones 140, so that they
  have a bound of their own), so their number bounds memory (100 to
  150 MB) and time (under a second); tensors read at one go, each about 1 kB, have a bound of their own;
- text and bytes in total; digits of numbers; memo indexes; names; nesting of marks; copying done by the calls that
  are read as data (Meter).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from itertools import repeat
from typing import Any, NamedTuple

from catalogdb.formats.limits import DEFAULT, Limits
from catalogdb.formats.pickle_machine import MAX_LINE, MAX_RARE, OPCODES, PERSISTENT, Machine, memo_key
from catalogdb.formats.pickle_rebuild import build_dict, build_tensor
from catalogdb.formats.pickle_text import WIDEST
from catalogdb.formats.pickle_values import GlobalRef, StorageRef, Stub, TensorRef
from catalogdb.formats.source import CutShort, Refused

_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from
_F64 = struct.Struct(">d").unpack_from

# A tensor as torch.save writes it, from the two marks that open its arguments to the PUT after the call: about 30
# opcodes, all but their numbers alike. Matched as a whole it takes a third of the time (measured: 1.9 µs, not 5.4).
# What doesn't match (a first tensor, a tied one, another protocol) goes through the loop, with the same outcome.
_PUT = rb"[qr]((?<=q).|(?<=r).(?!\x00\x00\x00).[\x00-\x0f]\x00)"
_GET = rb"[hj]((?<=h).|(?<=j).(?!\x00\x00\x00).[\x00-\x0f]\x00)"
_INT = rb"(?:K.|M..|J...[\x00-\x7f])"
_TUPLE = rb"(?:\)|(%b\x85|%b\x86|%b\x87|\(%bt)%b)" % (_INT, _INT * 2, _INT * 3, _INT + rb"{4,8}", _PUT)
_TENSOR = re.compile(
    rb"\(\(%b%bX(.\x00\x00\x00)([0-9]{1,20})%b%b(%b)(N?)t%b" % (_GET, _GET, _PUT, _GET, _INT, _PUT)
    + rb"Q(%b)%b%b([\x88\x89])%b\)R%b(?:%b)?t%bR%b" % (_INT, _TUPLE, _TUPLE, _GET, _PUT, _GET, _PUT, _PUT),
    re.DOTALL,
).match
_ONE_INT = re.compile(_INT, re.DOTALL)
_KEY_LENGTHS = tuple(bytes((length, 0, 0, 0)) for length in range(21))


class Unpickled(NamedTuple):
    """A pickle's value, and where in the data the pickle ended."""

    value: object
    end: int


def read_pickle(data: bytes, limits: Limits = DEFAULT) -> object:
    """What the pickle ``data`` describes: scalars, str, bytes, list, tuple, dict, TensorRef, GlobalRef, Stub.

    Raises Refused where it is malformed, ends too early or passes a bound.
    """
    try:
        return read_stream(data, limits=limits).value
    except CutShort as error:
        raise Refused(str(error)) from None


def read_stream(
    data: bytes, start: int = 0, persistent: Callable[[object], object] | None = None, *, limits: Limits = DEFAULT
) -> Unpickled:
    """The pickle that begins at ``start``; what follows it isn't looked at. ``persistent`` stands for an id's object.

    Raises CutShort where the data ends inside the pickle, Refused where it is malformed or passes a bound.
    """
    if len(data) > limits.pickle_bytes:
        raise Refused(f"pickle of {len(data)} bytes")
    reader = _Reader(data, persistent or as_storage, limits)
    try:
        value = reader.run(start)
    except (IndexError, KeyError, struct.error, ValueError, Refused) as error:
        if _ends_early(data, reader.op, reader.pos):
            raise CutShort("the file ends inside a pickle") from None
        raise Refused(_reason(error)) from None
    return Unpickled(value, reader.pos)


def _reason(error: Exception) -> str:
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, IndexError):
        return "the pickle takes from an empty stack, or ends too early"
    if isinstance(error, KeyError):
        return "the pickle asks its memo for what isn't there"
    return f"the pickle is malformed: {str(error)[:80]}"


_STOP = 0x2E
_FIXED = {
    0x80: 1, 0x95: 8, 0x4B: 1, 0x4D: 2, 0x4A: 4, 0x47: 8, 0x68: 1, 0x6A: 4, 0x71: 1, 0x72: 4, 0x82: 1, 0x83: 2, 0x84: 4,
}  # fmt: skip
"""Opcodes with an argument of so many bytes."""
_COUNTED = {0x58: 4, 0x8C: 1, 0x54: 4, 0x55: 1, 0x8D: 8, 0x42: 4, 0x43: 1, 0x8E: 8, 0x96: 8, 0x8A: 1, 0x8B: 4}
"""Opcodes whose argument is led by its length, a little-endian number of so many bytes."""
_LINES = {0x63: 2, 0x69: 2, 0x50: 1, 0x70: 1, 0x67: 1, 0x49: 1, 0x4C: 1, 0x46: 1, 0x53: 1, 0x56: 1}
"""Opcodes with so many lines of text."""


def _ends_early(data: bytes, op: int, pos: int) -> bool:
    """Whether ``op``, which failed with its argument at ``pos``, lacks bytes: then the data was cut, not wrong."""
    room = len(data) - pos
    if room <= 0:
        return op != _STOP
    if op in _FIXED:
        return room < _FIXED[op]
    if op in _COUNTED:
        width = _COUNTED[op]
        return room < width or room < width + int.from_bytes(data[pos : pos + width], "little")
    for _ in range(_LINES.get(op, 0)):
        end = data.find(b"\n", pos, pos + MAX_LINE)
        if end < 0:
            return len(data) - pos < MAX_LINE
        pos = end + 1
    return False


def as_storage(pid: object) -> object:
    """A storage; a class with its source (``('module', cls, file, text)``, torch before 1.6) is the class."""
    if type(pid) is tuple:
        if len(pid) >= 5 and pid[0] == "storage":
            return StorageRef(pid)
        if len(pid) == 4 and pid[0] == "module":
            return pid[1]
    return Stub(PERSISTENT, (pid,))


class _Reader(Machine):
    """The hot half of the machine: the loop, and tensors read at one go."""

    def __init__(
        self, data: bytes, persistent: Callable[[object], object] = as_storage, limits: Limits = DEFAULT
    ) -> None:
        super().__init__(data, persistent, limits)
        self.plain = persistent is as_storage
        self.pos = 0
        self.op = 0
        self.tensors = 0
        self.numbers: dict[bytes, int] = {}
        self.tuples: dict[bytes | None, tuple[int, ...]] = {None: ()}

    def run(self, pos: int) -> object:
        """Runs from ``pos`` to STOP; ``self.pos`` and ``self.op`` say where it ended, also where it failed.

        One function, and long: a call per opcode would double its time (0.15 µs each as it is). The opcodes that
        tensors are made of stand first; those that are rare are the Machine's.
        """
        data, stack, marks, memo, meter = self.data, self.stack, self.marks, self.memo, self.meter
        push, pop, u32, size = stack.append, stack.pop, _U32, len(self.data)
        persistent, depth = self.persistent, self.limits.pickle_depth
        op, left = 0, MAX_RARE
        try:
            for _ in repeat(None, self.limits.pickle_opcodes):
                op = data[pos]
                pos += 1
                if op == 0x71:  # BINPUT
                    memo[data[pos : pos + 1]] = stack[-1]
                    pos += 1
                elif op == 0x72:  # LONG_BINPUT
                    raw = data[pos : pos + 4]
                    if raw[2] > 15 or raw[3] or not raw[1]:
                        raw = memo_key(u32(data, pos)[0])
                    memo[raw] = stack[-1]
                    pos += 4
                elif op == 0x68:  # BINGET
                    push(memo[data[pos : pos + 1]])
                    pos += 1
                elif op == 0x58:  # BINUNICODE
                    (count,) = u32(data, pos)
                    begin = pos + 4
                    end = begin + count
                    if end > size:
                        raise Refused("the pickle ends inside a text")
                    raw = data[begin:end]
                    meter.text -= count if raw.isascii() else WIDEST * count
                    if meter.text < 0:
                        raise Refused("the pickle holds too much text")
                    push(str(raw, "utf-8", "replace"))
                    pos = end
                elif op == 0x6A:  # LONG_BINGET
                    push(memo[memo_key(u32(data, pos)[0])])
                    pos += 4
                elif op == 0x28:  # MARK
                    if data[pos] == 0x28:
                        found = _TENSOR(data, pos - 1)
                        if found is not None and self._push_tensor(found):
                            pos = found.end()
                            continue
                    marks.append(len(stack))
                    if len(marks) > depth:
                        raise Refused("the pickle is nested too deep")
                elif op == 0x4B:  # BININT1
                    push(data[pos])
                    pos += 1
                elif op == 0x75:  # SETITEMS
                    at = marks.pop()
                    values = stack[at:]
                    del stack[at:]
                    self.update(values)
                elif op == 0x7D:  # EMPTY_DICT
                    push({})
                elif op == 0x74:  # TUPLE
                    at = marks.pop()
                    stack[at:] = (tuple(stack[at:]),)
                elif op == 0x52:  # REDUCE
                    args = pop()
                    stack[-1] = self.make(stack[-1], args)
                elif op == 0x29:  # EMPTY_TUPLE
                    push(())
                elif op == 0x89:  # NEWFALSE
                    push(False)
                elif op == 0x51:  # BINPERSID
                    left -= 1
                    if left < 0:
                        raise Refused(f"more than {MAX_RARE} persistent ids and rare opcodes in a pickle")
                    stack[-1] = persistent(stack[-1])
                elif op == 0x4D:  # BININT2
                    push(data[pos] | data[pos + 1] << 8)
                    pos += 2
                elif op == 0x85:  # TUPLE1
                    stack[-1] = (stack[-1],)
                elif op == 0x86:  # TUPLE2
                    last = pop()
                    stack[-1] = (stack[-1], last)
                elif op == 0x87:  # TUPLE3
                    last = pop()
                    middle = pop()
                    stack[-1] = (stack[-1], middle, last)
                elif op == 0x4A:  # BININT
                    push(_I32(data, pos)[0])
                    pos += 4
                elif op == 0x94:  # MEMOIZE
                    memo[memo_key(len(memo))] = stack[-1]
                elif op == 0x8C:  # SHORT_BINUNICODE
                    begin = pos + 1
                    end = begin + data[pos]
                    if end > size:
                        raise Refused("the pickle ends inside a text")
                    push(self._text(data[begin:end]))
                    pos = end
                elif op == 0x88:  # NEWTRUE
                    push(True)
                elif op == 0x4E:  # NONE
                    push(None)
                elif op == 0x47:  # BINFLOAT
                    push(_F64(data, pos)[0])
                    pos += 8
                elif op == 0x2E:  # STOP
                    return pop()
                else:
                    rare = OPCODES.get(op)
                    if rare is None:
                        raise Refused(f"unknown pickle opcode 0x{op:02x}")
                    left -= 1
                    if left < 0:
                        raise Refused(f"more than {MAX_RARE} persistent ids and rare opcodes in a pickle")
                    pos = rare(self, pos)
            op = _STOP  # so that the last opcode isn't taken for one that lacks bytes
            raise Refused(f"more than {self.limits.pickle_opcodes} pickle opcodes")
        finally:
            self.pos, self.op = pos, op

    def _push_tensor(self, found: re.Match[bytes]) -> bool:
        """Does what the opcodes that ``_TENSOR`` matched do, in their order; False, and nothing done, if it can't.

        What is nearly always called, OrderedDict and _rebuild_tensor_v2, is made here: their calls are a tenth of it.
        """
        (
            kind, storage_type, length, key, put_key, location, numel, view, put_pid,
            offset, shape, put_shape, stride, put_stride, grad, hooks, put_hooks, dtype, put_args, put_tensor,
        ) = found.groups()  # fmt: skip
        stack, memo, numbers, tuples = self.stack, self.memo, self.numbers, self.tuples
        if length != _KEY_LENGTHS[len(key)] or memo.get(kind) != "storage":
            return False
        self.tensors += 1
        if self.tensors > self.limits.tensors:
            raise Refused(f"more than {self.limits.tensors} tensors")
        type_ref = memo[storage_type]
        memo[put_key] = name = str(key, "ascii")
        count = numbers.get(numel)
        if count is None:
            count = self._number(numel)
        pid: tuple[Any, ...] = ("storage", type_ref, name, memo[location], count)
        if view:
            pid = (*pid, None)
        memo[put_pid] = pid
        storage = StorageRef(pid) if self.plain else self.persistent(pid)
        start = numbers.get(offset)
        if start is None:
            start = self._number(offset)
        size = tuples.get(shape)
        if size is None:
            size = self._tuple(shape)
        if put_shape:
            memo[put_shape] = size
        steps = tuples.get(stride)
        if steps is None:
            steps = self._tuple(stride)
        if put_stride:
            memo[put_stride] = steps
        called = memo[hooks]
        made: object = {} if type(called) is GlobalRef and called.build is build_dict else self.make(called, ())
        memo[put_hooks] = made
        args: tuple[Any, ...] = (storage, start, size, steps, grad == b"\x88", made)
        if dtype:
            args = (*args, memo[dtype])
        memo[put_args] = args
        called = stack[-1]
        if type(called) is GlobalRef and called.build is build_tensor:
            made = TensorRef(args)
        else:
            made = self.make(called, args)
        memo[put_tensor] = stack[-1] = made
        return True

    def _number(self, raw: bytes) -> int:
        """A BININT1, BININT2 or (positive) BININT, remembered: sizes repeat from layer to layer."""
        number = self.numbers[raw] = int.from_bytes(raw[1:], "little")
        return number

    def _tuple(self, raw: bytes) -> tuple[int, ...]:
        """The tuple of ints that ``raw`` pushes with TUPLE1 to TUPLE3 or MARK … TUPLE, remembered."""
        opcodes = _ONE_INT.findall(raw, 1 if raw[0] == 0x28 else 0)
        made = self.tuples[raw] = tuple(map(self._number, opcodes))
        return made
