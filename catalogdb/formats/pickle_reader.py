"""An interpreter of pickle opcodes that builds data and never looks up, imports or calls anything.

It is one loop over the bytes, without recursion, and holds its bounds before the memory or the time is spent:

- steps: each makes at most about 90 bytes that aren't in the pickle (persistent ids and rare ones 140, so that they
  have a bound of their own), so their number bounds memory (100 to 150 MB) and time (under a second); tensors read at
  one go, each about 1 kB, have a bound of their own;
- text and bytes in total; digits of numbers; memo indexes; names; nesting of marks; copying done by the calls that
  are read as data (Meter).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import repeat
from typing import NamedTuple

from catalogdb.formats.limits import DEFAULT, Limits
from catalogdb.formats.pickle_machine import MAX_LINE, MAX_RARE, OPCODES, PERSISTENT, Machine, memo_key
from catalogdb.formats.pickle_text import WIDEST
from catalogdb.formats.pickle_values import Stub
from catalogdb.formats.source import CutShort, Refused
from catalogdb.formats.tensor_opcodes import Rewritten, TensorReader
from catalogdb.formats.tensors import StorageRef, TensorRef

_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from
_F64 = struct.Struct(">d").unpack_from
_MANY_RARE = f"more than {MAX_RARE} persistent ids and rare opcodes in a pickle"


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
    try:
        return run(data, start, persistent, limits, at_one_go=True)
    except Rewritten:
        return run(data, start, persistent, limits, at_one_go=False)


def run(
    data: bytes, start: int, persistent: Callable[[object], object] | None, limits: Limits, *, at_one_go: bool
) -> Unpickled:
    """As ``read_stream``. Raises Rewritten as well where tensors are read ``at_one_go`` and may not be."""
    reader = _Reader(data, persistent or as_storage, limits)
    tensors = TensorReader(persistent, limits.tensors) if at_one_go else None
    try:
        value = reader.run(start, tensors)
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
    """The hot half of the machine. ``pos`` and ``op`` say where it ended, also where it failed."""

    pos = 0
    op = 0

    def run(self, pos: int, tensors: TensorReader | None = None) -> object:
        """Runs from ``pos`` to STOP; ``tensors`` reads at one go what it can.

        One function, and long: a call per opcode would double its time (0.15 µs each as it is). Those that checkpoints
        are made of are found by halves, and the rest are the Machine's.
        """
        data, stack, marks, memo, meter = self.data, self.stack, self.marks, self.memo, self.meter
        push, pop, u32, size = stack.append, stack.pop, _U32, len(self.data)
        persistent, depth = self.persistent, self.limits.pickle_depth
        recall, op, left = self.recall, 0, MAX_RARE
        try:
            for _ in repeat(None, self.limits.pickle_opcodes):
                op = data[pos]
                pos += 1
                if op == 0x71:  # BINPUT
                    memo[data[pos : pos + 1]] = stack[-1]
                    pos += 1
                    continue
                if op == 0x58:  # BINUNICODE
                    (count,) = u32(data, pos)
                    begin = pos + 4
                    end = begin + count
                    if end > size:
                        raise Refused("the pickle ends inside a text")
                    raw = data[begin:end]
                    if raw.isascii():
                        meter.text -= count
                        value = raw.decode()
                    else:
                        meter.text -= WIDEST * count
                        value = str(raw, "utf-8", "replace")
                    if meter.text < 0:
                        raise Refused("the pickle holds too much text")
                    push(value)
                    pos = end
                    if data[pos] == 0x71:  # BINPUT, as after nearly every text
                        pos += 2
                        memo[data[end + 1 : pos]] = value
                    continue
                if op < 0x54:
                    if op > 0x4A:
                        if op == 0x4B:  # BININT1
                            push(data[pos])
                            pos += 1
                            continue
                        if op == 0x4D:  # BININT2
                            push(data[pos] | data[pos + 1] << 8)
                            pos += 2
                            continue
                        if op == 0x4E:  # NONE
                            push(None)
                            continue
                        if op == 0x52:  # REDUCE
                            args = pop()
                            stack[-1] = self.make(stack[-1], args)
                            continue
                        if op == 0x51:  # BINPERSID
                            left -= 1
                            if left < 0:
                                raise Refused(_MANY_RARE)
                            stack[-1] = persistent(stack[-1])
                            continue
                    elif op == 0x28:  # MARK
                        if data[pos] == 0x28 and tensors is not None:
                            end = tensors.read(self, pos - 1)
                            if end >= pos:
                                pos = end
                                continue
                        marks.append(len(stack))
                        if len(marks) > depth:
                            raise Refused("the pickle is nested too deep")
                        continue
                    elif op == 0x29:  # EMPTY_TUPLE
                        push(())
                        continue
                    elif op == 0x47:  # BINFLOAT
                        push(_F64(data, pos)[0])
                        pos += 8
                        continue
                    elif op == 0x4A:  # BININT
                        push(_I32(data, pos)[0])
                        pos += 4
                        continue
                    elif op == 0x2E:  # STOP
                        return pop()
                elif op < 0x74:
                    if op == 0x68:  # BINGET
                        value = memo[data[pos : pos + 1]]
                        push(recall(data[pos : pos + 1]) if type(value) is TensorRef else value)
                        pos += 1
                        continue
                    if op == 0x72:  # LONG_BINPUT
                        raw = data[pos : pos + 4]
                        if raw[2] > 15 or raw[3] or not raw[1]:
                            raw = memo_key(u32(data, pos)[0])
                        memo[raw] = stack[-1]
                        pos += 4
                        continue
                    if op == 0x6A:  # LONG_BINGET
                        push(recall(memo_key(u32(data, pos)[0])))
                        pos += 4
                        continue
                elif op < 0x85:
                    if op == 0x75:  # SETITEMS
                        at = marks.pop()
                        values = stack[at:]
                        del stack[at:]
                        self.update(values)
                        continue
                    if op == 0x7D:  # EMPTY_DICT
                        push({})
                        continue
                    if op == 0x74:  # TUPLE
                        at = marks.pop()
                        stack[at:] = (tuple(stack[at:]),)
                        continue
                elif op == 0x85:  # TUPLE1
                    stack[-1] = (stack[-1],)
                    continue
                elif op == 0x86:  # TUPLE2
                    last = pop()
                    stack[-1] = (stack[-1], last)
                    continue
                elif op == 0x87:  # TUPLE3
                    last = pop()
                    middle = pop()
                    stack[-1] = (stack[-1], middle, last)
                    continue
                elif op == 0x89:  # NEWFALSE
                    push(False)
                    continue
                elif op == 0x88:  # NEWTRUE
                    push(True)
                    continue
                elif op == 0x94:  # MEMOIZE
                    memo[memo_key(len(memo))] = stack[-1]
                    continue
                elif op == 0x8C:  # SHORT_BINUNICODE
                    begin = pos + 1
                    end = begin + data[pos]
                    if end > size:
                        raise Refused("the pickle ends inside a text")
                    push(self._text(data[begin:end]))
                    pos = end
                    continue
                rare = OPCODES.get(op)
                if rare is None:
                    raise Refused(f"unknown pickle opcode 0x{op:02x}")
                left -= 1
                if left < 0:
                    raise Refused(_MANY_RARE)
                pos = rare(self, pos)
            op = _STOP  # so that the last opcode isn't taken for one that lacks bytes
            raise Refused(f"more than {self.limits.pickle_opcodes} pickle opcodes")
        finally:
            self.pos, self.op = pos, op
