"""An interpreter of pickle opcodes that builds data and never looks up, imports or calls anything.

It is one loop over the bytes, without recursion, and holds its bounds before the memory or the time is spent:

- steps: each makes at most about 90 bytes that aren't in the pickle (persistent ids and rare ones 140, so that they
  have a bound of their own), so their number bounds memory (100 to 150 MB) and time (under a second); tensors read at
  one go, each about 1 kB, have a bound of their own, and count as the ten opcodes whose time they take;
- text and bytes in total; digits of numbers; memo indexes; names; nesting of marks; copying done by the calls that
  are read as data (Meter).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import NamedTuple

from catalogdb.formats.pickle_machine import MAX_LINE, OPCODES, PERSISTENT, Machine
from catalogdb.formats.pickle_rebuild import charge_work
from catalogdb.formats.pickle_text import WIDEST
from catalogdb.formats.pickle_values import Meter, Stub
from catalogdb.formats.source import Beyond, CutShort, Refused, over
from catalogdb.formats.tensor_opcodes import TENSOR_COST, Rewritten, TensorReader
from catalogdb.formats.tensors import StorageRef, TensorRef
from catalogdb.limits import DEFAULT, Limits

_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from
_F64 = struct.Struct(">d").unpack_from

_STORAGES = b"Xhj"
"""BINUNICODE, with which the storage of a file's first tensor begins; BINGET and LONG_BINGET, with which all others."""

_TURNS = 1 << 16
"""Opcodes between two looks at the clock, about 10 ms."""


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
        raise over(limits, "pickle_bytes", f"pickle of {len(data)} bytes, more")
    try:
        return run(data, start, persistent, limits, at_one_go=True)
    except Rewritten as error:
        return run(data, start, persistent, limits, at_one_go=False, spent=error.tensors * TENSOR_COST)


def run(
    data: bytes,
    start: int,
    persistent: Callable[[object], object] | None,
    limits: Limits,
    *,
    at_one_go: bool,
    spent: int = 0,
) -> Unpickled:
    """As ``read_stream``. Raises Rewritten as well where tensors are read ``at_one_go`` and may not be. ``spent`` is
    how many opcodes count as read before."""
    reader = _Reader(data, persistent or as_storage, limits)
    at_one_go = at_one_go and limits.pickle_memo_index >= DEFAULT.pickle_memo_index
    tensors = TensorReader(persistent, limits) if at_one_go else None
    try:
        value = reader.run(start, tensors, spent)
    except Beyond:
        raise
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


def _turns(limits: Limits, meter: Meter, tensors: TensorReader | None, spent: int) -> Iterator[Iterable[None]]:
    """As many turns as opcodes are allowed beside those ``spent``; now and then a look at the tensors that were read at
    one go, at the clock, and at the containers that were made."""
    left, counted, end = limits.pickle_opcodes - spent, 0, None
    while left > 0:
        yield repeat(None, min(left, _TURNS))
        left -= _TURNS
        if tensors is not None:
            left -= (tensors.count - counted) * TENSOR_COST
            counted = tensors.count
        now = time.thread_time()
        end = end or now + limits.file_seconds
        if now > end:
            raise over(limits, "file_seconds", "a pickle takes longer to read")
        charge_work(meter, 0)


class _Reader(Machine):
    """The hot half of the machine. ``pos`` and ``op`` say where it ended, also where it failed."""

    pos = 0
    op = 0

    def run(self, pos: int, tensors: TensorReader | None = None, spent: int = 0) -> object:
        """Runs from ``pos`` to STOP; ``tensors`` reads at one go what it can. ``spent`` opcodes count as read.

        One function, and long: a call per opcode would double its time (0.15 µs each as it is). Those that checkpoints
        are made of are found by halves, and the rest are the Machine's.
        """
        data, stack, marks, memo, meter = self.data, self.stack, self.marks, self.memo, self.meter
        push, pop, u32, size = stack.append, stack.pop, _U32, len(self.data)
        persistent, recall, memo_key, limits = self.persistent, self.recall, self.memo_key, self.limits
        depth, longest, highest = limits.pickle_depth, limits.pickle_string, limits.pickle_memo_index
        op, left = 0, limits.pickle_rare_opcodes
        try:
            for _ in chain.from_iterable(_turns(limits, meter, tensors, spent)):
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
                    if end > size or count > longest:
                        self.refuse_text(count)
                    raw = data[begin:end]
                    if raw.isascii():
                        meter.text -= count
                        value = raw.decode()
                    else:
                        meter.text -= WIDEST * count
                        value = str(raw, "utf-8", "replace")
                    if meter.text < 0:
                        raise over(limits, "pickle_text", "more text in a pickle")
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
                                raise over(limits, "pickle_rare_opcodes", "more persistent ids and rare opcodes")
                            stack[-1] = persistent(stack[-1])
                            continue
                    elif op == 0x28:  # MARK
                        if data[pos] == 0x28 and tensors is not None and data[pos + 1 : pos + 2] in _STORAGES:
                            end = tensors.read(self, pos - 1)
                            if end >= pos:
                                pos = end
                                continue
                        marks.append(len(stack))
                        if len(marks) > depth:
                            raise over(limits, "pickle_depth", "deeper nesting in a pickle")
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
                        charge_work(meter, 0)
                        return pop()
                elif op < 0x74:
                    if op == 0x68:  # BINGET
                        value = memo[data[pos : pos + 1]]
                        push(recall(data[pos : pos + 1]) if type(value) is TensorRef else value)
                        pos += 1
                        continue
                    if op == 0x72:  # LONG_BINPUT
                        (index,) = u32(data, pos)
                        raw = data[pos : pos + 4] if 255 < index <= highest else memo_key(index)
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
                        meter.work -= 1
                        push({})
                        continue
                    if op == 0x74:  # TUPLE
                        at = marks.pop()
                        meter.work -= 1
                        stack[at:] = (tuple(stack[at:]),)
                        continue
                elif op == 0x85:  # TUPLE1
                    meter.work -= 1
                    stack[-1] = (stack[-1],)
                    continue
                elif op == 0x86:  # TUPLE2
                    meter.work -= 1
                    last = pop()
                    stack[-1] = (stack[-1], last)
                    continue
                elif op == 0x87:  # TUPLE3
                    meter.work -= 1
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
                    raise over(limits, "pickle_rare_opcodes", "more persistent ids and rare opcodes")
                pos = rare(self, pos)
            raise over(limits, "pickle_opcodes", "more opcodes in a pickle")
        finally:
            self.pos, self.op = pos, op
