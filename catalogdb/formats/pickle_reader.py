"""An interpreter of pickle opcodes that builds data and never looks up, imports or calls anything.

It is one loop over the bytes, without recursion, and holds its bounds before the memory or the time is spent:

- steps: each makes at most about 90 bytes that aren't in the pickle, so their number bounds memory (100 to
  150 MB) and time (under a second); tensors read at one go, each about 1 kB, have a bound of their own;
- text and bytes in total; digits of numbers; memo indexes; names; nesting of marks; copying done by the calls that
  are read as data (Meter).
"""

from __future__ import annotations

import re
import struct
from itertools import repeat
from typing import Any

from catalogdb.formats.pickle_machine import OPCODES, PERSISTENT, Machine, memo_key
from catalogdb.formats.pickle_values import StorageRef, Stub
from catalogdb.formats.source import Refused

MAX_PICKLE = 64 * 1024 * 1024
MAX_STEPS = 1_500_000
"""600 parameters with Adam's state take 9,000."""
MAX_TENSORS = 100_000
MAX_MARKS = 4_000

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
    rb"\(\(%b%bX(.\x00\x00\x00)([0-9]{1,9})%b%b(%b)t%b" % (_GET, _GET, _PUT, _GET, _INT, _PUT)
    + rb"Q(%b)%b%b([\x88\x89])%b\)R%b(?:%b)?t%bR%b" % (_INT, _TUPLE, _TUPLE, _GET, _PUT, _GET, _PUT, _PUT),
    re.DOTALL,
).match
_ONE_INT = re.compile(_INT, re.DOTALL)
_KEY_LENGTHS = tuple(bytes((length, 0, 0, 0)) for length in range(10))


def read_pickle(data: bytes) -> object:
    """What the pickle ``data`` describes: scalars, str, bytes, list, tuple, dict, TensorRef, GlobalRef, Stub.

    Raises Refused where it is malformed, ends too early or passes a bound.
    """
    if len(data) > MAX_PICKLE:
        raise Refused(f"pickle of {len(data)} bytes")
    try:
        return _Reader(data).run()
    except IndexError:
        raise Refused("the pickle takes from an empty stack, or ends too early") from None
    except KeyError:
        raise Refused("the pickle asks its memo for what isn't there") from None
    except (struct.error, ValueError) as error:
        raise Refused(f"the pickle is malformed: {str(error)[:80]}") from None


class _Reader(Machine):
    """The hot half of the machine: the loop, and tensors read at one go."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.tensors = 0
        self.numbers: dict[bytes, int] = {}
        self.tuples: dict[bytes | None, tuple[int, ...]] = {None: ()}

    def run(self) -> object:
        """Runs to STOP. One function, and long: a call per opcode would double its time (0.15 µs each as it is).

        The opcodes that tensors are made of stand first; those that are rare are the Machine's.
        """
        data, stack, marks, memo, meter = self.data, self.stack, self.marks, self.memo, self.meter
        push, pop, u32, size = stack.append, stack.pop, _U32, len(self.data)
        pos = 0
        for _ in repeat(None, MAX_STEPS):
            op = data[pos]
            pos += 1
            if op == 0x72:  # LONG_BINPUT
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
                pos += 4
                end = pos + count
                if end > size:
                    raise Refused("the pickle ends inside a text")
                meter.text -= count
                if meter.text < 0:
                    raise Refused("the pickle holds too much text")
                push(str(data[pos:end], "utf-8", "replace"))
                pos = end
            elif op == 0x28:  # MARK
                if data[pos] == 0x28:
                    found = _TENSOR(data, pos - 1)
                    if found is not None and self._push_tensor(found):
                        pos = found.end()
                        continue
                marks.append(len(stack))
                if len(marks) > MAX_MARKS:
                    raise Refused("the pickle is nested too deep")
            elif op == 0x4B:  # BININT1
                push(data[pos])
                pos += 1
            elif op == 0x52:  # REDUCE
                args = pop()
                stack[-1] = self.make(stack[-1], args)
            elif op == 0x74:  # TUPLE
                at = marks.pop()
                stack[at:] = (tuple(stack[at:]),)
            elif op == 0x29:  # EMPTY_TUPLE
                push(())
            elif op == 0x89:  # NEWFALSE
                push(False)
            elif op == 0x51:  # BINPERSID
                stack[-1] = _persistent(stack[-1])
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
            elif op == 0x6A:  # LONG_BINGET
                push(memo[memo_key(u32(data, pos)[0])])
                pos += 4
            elif op == 0x4A:  # BININT
                push(_I32(data, pos)[0])
                pos += 4
            elif op == 0x71:  # BINPUT
                memo[data[pos : pos + 1]] = stack[-1]
                pos += 1
            elif op == 0x94:  # MEMOIZE
                memo[memo_key(len(memo))] = stack[-1]
            elif op == 0x8C:  # SHORT_BINUNICODE
                pos += 1
                end = pos + data[pos - 1]
                if end > size:
                    raise Refused("the pickle ends inside a text")
                push(str(data[pos:end], "utf-8", "replace"))
                pos = end
            elif op == 0x88:  # NEWTRUE
                push(True)
            elif op == 0x4E:  # NONE
                push(None)
            elif op == 0x47:  # BINFLOAT
                push(_F64(data, pos)[0])
                pos += 8
            elif op == 0x7D:  # EMPTY_DICT
                push({})
            elif op == 0x2E:  # STOP
                return pop()
            else:
                rare = OPCODES.get(op)
                if rare is None:
                    raise Refused(f"unknown pickle opcode 0x{op:02x}")
                pos = rare(self, pos)
        raise Refused(f"more than {MAX_STEPS} pickle opcodes")

    def _push_tensor(self, found: re.Match[bytes]) -> bool:
        """Does what the opcodes that ``_TENSOR`` matched do, in their order; False, and nothing done, if it can't."""
        (
            kind, storage_type, length, key, put_key, location, numel, put_pid,
            offset, shape, put_shape, stride, put_stride, grad, hooks, put_hooks, dtype, put_args, put_tensor,
        ) = found.groups()  # fmt: skip
        stack, memo, numbers, tuples = self.stack, self.memo, self.numbers, self.tuples
        if length != _KEY_LENGTHS[len(key)] or memo.get(kind) != "storage":
            return False
        self.tensors += 1
        if self.tensors > MAX_TENSORS:
            raise Refused(f"more than {MAX_TENSORS} tensors")
        name = str(key, "ascii")
        type_ref = memo[storage_type]
        memo[put_key] = name
        count = numbers.get(numel)
        if count is None:
            count = self._number(numel)
        pid = ("storage", type_ref, name, memo[location], count)
        memo[put_pid] = pid
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
        made_hooks = self.make(memo[hooks], ())  # an OrderedDict
        memo[put_hooks] = made_hooks
        args: tuple[Any, ...] = (StorageRef(pid), start, size, steps, grad == b"\x88", made_hooks)
        if dtype:
            args = (*args, memo[dtype])
        memo[put_args] = args
        memo[put_tensor] = stack[-1] = self.make(stack[-1], args)
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


def _persistent(pid: object) -> object:
    if type(pid) is tuple and len(pid) >= 5 and pid[0] == "storage":
        return StorageRef(pid)
    return Stub(PERSISTENT, (pid,))
