"""The state of a pickle being read, and the opcodes that are rare in a checkpoint. Nothing is looked up or called.

Opcodes after CPython's ``Lib/pickletools.py``, protocols 0 to 5.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import Any, NoReturn

from catalogdb.formats.pickle_rebuild import KNOWN, charge_text, charge_work, make_global, safe_key, stub
from catalogdb.formats.pickle_text import WIDEST, text_cost, unescape
from catalogdb.formats.pickle_values import GlobalRef, Meter, Stub
from catalogdb.formats.source import Refused, over
from catalogdb.formats.tensors import TensorRef
from catalogdb.limits import Limits

MAX_NAMES = 20_000
MAX_LINE = 64 * 1024

_TEXTS = {str}
_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from
_U64 = struct.Struct("<Q").unpack_from


class Machine:
    """One pickle being read. ``marks`` are stack heights. Each opcode's method takes the position after the opcode and
    returns the one after its argument; they raise Refused, IndexError (empty stack, end of data), KeyError (memo),
    ValueError and struct.error for malformed input."""

    def __init__(self, data: bytes, persistent: Callable[[object], object], limits: Limits) -> None:
        self.data = data
        self.limits = limits
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[bytes, Any] = {}
        self.names: dict[tuple[str, str], GlobalRef] = {}
        self.meter = Meter(limits)

    def memo_key(self, index: int) -> bytes:
        """The memo is keyed as BINPUT and LONG_BINPUT write an index, so that the hot opcodes need not decode it.

        CPython's unpickler grows its memo to the index that a pickle names; a dict doesn't.
        """
        if not 0 <= index <= self.limits.pickle_memo_index:
            raise over(self.limits, "pickle_memo_index", f"pickle memo index {index}, higher")
        return index.to_bytes(1 if index < 256 else 4, "little")

    def from_mark(self) -> list[Any]:
        at = self.marks.pop()
        taken = self.stack[at:]
        del self.stack[at:]
        return taken

    def refuse_text(self, count: int) -> NoReturn:
        if count > self.limits.pickle_string:
            raise over(self.limits, "pickle_string", f"a longer text or bytes object ({count}) in a pickle")
        raise Refused("the pickle ends inside a text")

    def _line(self, pos: int) -> tuple[bytes, int]:
        end = self.data.find(b"\n", pos, pos + MAX_LINE)
        if end < 0:
            raise Refused("the pickle ends inside a line, or the line is too long")
        return self.data[pos:end], end + 1

    def _counted(self, pos: int, count: int) -> tuple[bytes, int]:
        if pos + count > len(self.data) or count > self.limits.pickle_string:
            self.refuse_text(count)
        charge_text(self.meter, count)
        return self.data[pos : pos + count], pos + count

    def _text(self, raw: bytes) -> str:
        charge_text(self.meter, text_cost(raw))
        return str(raw, "utf-8", "replace")

    def _name(self, module: object, name: object) -> GlobalRef:
        if type(module) is not str or type(name) is not str:
            raise Refused("the pickle names something by what is no text")
        key = (module, name)
        ref = self.names.get(key)
        if ref is None:
            if len(self.names) >= MAX_NAMES or len(module) + len(name) > MAX_LINE:
                raise Refused("the pickle names too many things")
            ref = self.names[key] = make_global(module, name)
        return ref

    def _put(self, index: int) -> None:
        self.memo[self.memo_key(index)] = self.stack[-1]

    def recall(self, index: bytes) -> Any:
        """What stands in the memo. Of a tensor read at one go, its parts too."""
        value = self.memo[index]
        if type(value) is TensorRef and value.written is not None:
            value.written.spread(value, self.memo)
            return self.memo[index]
        return value

    def make(self, cls: object, args: object) -> object:
        if type(args) is not tuple:
            raise Refused("the pickle calls with something else than a tuple")
        if type(cls) is GlobalRef:
            return cls.build(cls, args, self.meter)
        return Stub(UNNAMED, (cls, *args[:16]))

    def proto(self, pos: int) -> int:
        if self.data[pos] > 5:
            raise Refused(f"pickle protocol {self.data[pos]}")
        return pos + 1

    def frame(self, pos: int) -> int:
        return pos + 8

    def global_(self, pos: int) -> int:
        known = KNOWN.get(
            self.data[pos : self.data.find(b"\n", self.data.find(b"\n", pos, pos + 80) + 1, pos + 80) + 1]
        )
        if known is not None:
            self.stack.append(known)
            return pos + len(known.module) + len(known.name) + 2
        module, pos = self._line(pos)
        name, pos = self._line(pos)
        self.stack.append(self._name(self._text(module), self._text(name)))
        return pos

    def stack_global(self, pos: int) -> int:
        name = self.stack.pop()
        module = self.stack.pop()
        self.stack.append(self._name(module, name))
        return pos

    def extension(self, pos: int) -> int:
        width = {0x82: 1, 0x83: 2, 0x84: 4}[self.data[pos - 1]]
        code = int.from_bytes(self.data[pos : pos + width], "little")
        self.stack.append(self._name("copyreg", f"extension {code}"))
        return pos + width

    def append(self, pos: int) -> int:
        value = self.stack.pop()
        self._extend([value])
        return pos

    def appends(self, pos: int) -> int:
        self._extend(self.from_mark())
        return pos

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(values)
        elif type(target) is Stub:
            if target.elements is None:
                target.elements = []
            target.elements.extend(values)
        else:
            raise Refused("the pickle appends to what is no list")

    def setitem(self, pos: int) -> int:
        value = self.stack.pop()
        key = self.stack.pop()
        self.update([key, value])
        return pos

    def update(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise Refused("the pickle sets a key without a value")
        target = self.stack[-1]
        if type(target) is Stub:
            if target.items is None:
                target.items = {}
            target = target.items
        elif type(target) is not dict:
            raise Refused("the pickle sets an item of what is no dict")
        keys = values[::2]
        if set(map(type, keys)) == _TEXTS:
            target.update(zip(keys, values[1::2], strict=True))
            return
        for key, value in zip(keys, values[1::2], strict=True):
            target[key if type(key) is str else safe_key(key)] = value

    def dict_(self, pos: int) -> int:
        charge_work(self.meter, 1)
        values = self.from_mark()
        self.stack.append({})
        self.update(values)
        return pos

    def list_(self, pos: int) -> int:
        charge_work(self.meter, 1)
        self.stack.append(self.from_mark())
        return pos

    def empty_list(self, pos: int) -> int:
        charge_work(self.meter, 1)
        self.stack.append([])
        return pos

    def frozenset_(self, pos: int) -> int:
        charge_work(self.meter, 1)
        self.stack.append(tuple(self.from_mark()))
        return pos

    def build(self, pos: int) -> int:
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is Stub:
            target.state = state
        elif type(target) not in (dict, list, tuple, TensorRef, str):  # attributes of plain data are left out
            raise Refused("the pickle gives a state to what has none")
        return pos

    def inst(self, pos: int) -> int:
        pos = self.global_(pos)
        cls = self.stack.pop()
        self.stack.append(self.make(cls, tuple(self.from_mark())))
        return pos

    def obj(self, pos: int) -> int:
        taken = self.from_mark()
        self.stack.append(self.make(taken[0], tuple(taken[1:])))
        return pos

    def newobj(self, pos: int) -> int:
        args = self.stack.pop()
        self.stack[-1] = self.make(self.stack[-1], args)
        return pos

    def newobj_ex(self, pos: int) -> int:
        kwargs = self.stack.pop()
        args = self.stack.pop()
        made = self.make(self.stack[-1], args)
        if type(made) is Stub:
            made.state = kwargs
        self.stack[-1] = made
        return pos

    def persid(self, pos: int) -> int:
        line, pos = self._line(pos)
        self.stack.append(self.persistent(self._text(line)))
        return pos

    def pop(self, pos: int) -> int:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()
        return pos

    def pop_mark(self, pos: int) -> int:
        self.from_mark()
        return pos

    def dup(self, pos: int) -> int:
        self.stack.append(self.stack[-1])
        return pos

    def put(self, pos: int) -> int:
        line, pos = self._line(pos)
        self._put(self._integer(line))
        return pos

    def get(self, pos: int) -> int:
        line, pos = self._line(pos)
        self.stack.append(self.recall(self.memo_key(self._integer(line))))
        return pos

    def _integer(self, line: bytes) -> int:
        if len(line) > self.limits.pickle_integer:
            raise over(self.limits, "pickle_integer", f"pickle integer of {len(line)} digits, more")
        return int(line)

    def int_(self, pos: int) -> int:
        """INT: a decimal line; ``00`` and ``01`` are False and True (pickletools: decimalnl_short)."""
        line, pos = self._line(pos)
        self.stack.append(line == b"01" if line in (b"00", b"01") else self._integer(line))
        return pos

    def long_(self, pos: int) -> int:
        line, pos = self._line(pos)
        self.stack.append(self._integer(line.removesuffix(b"L")))
        return pos

    def long1(self, pos: int) -> int:
        return self._long(pos + 1, self.data[pos])

    def long4(self, pos: int) -> int:
        return self._long(pos + 4, _I32(self.data, pos)[0])

    def _long(self, pos: int, count: int) -> int:
        if not 0 <= count <= self.limits.pickle_integer:
            raise over(self.limits, "pickle_integer", f"pickle integer of {count} bytes, more")
        digits, pos = self._counted(pos, count)
        self.stack.append(int.from_bytes(digits, "little", signed=True))
        return pos

    def float_(self, pos: int) -> int:
        line, pos = self._line(pos)
        self.stack.append(float(line))
        return pos

    def string(self, pos: int) -> int:
        """STRING: a Python 2 str literal; read as Latin-1, which keeps every byte."""
        line, pos = self._line(pos)
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise Refused("the pickle holds a string without quotes")
        charge_text(self.meter, len(line))
        self.stack.append(unescape(line[1:-1]))
        return pos

    def unicode_(self, pos: int) -> int:
        line, pos = self._line(pos)
        charge_text(self.meter, WIDEST * len(line) if b"\\" in line else len(line))
        text, _ = codecs.raw_unicode_escape_decode(line)  # bytes.decode would import the codec's module
        self.stack.append(text.encode("utf-8", "replace").decode("utf-8"))
        return pos

    def binstring(self, pos: int) -> int:
        raw, pos = self._counted(pos + 4, _U32(self.data, pos)[0])
        self.stack.append(raw.decode("latin-1"))
        return pos

    def short_binstring(self, pos: int) -> int:
        raw, pos = self._counted(pos + 1, self.data[pos])
        self.stack.append(raw.decode("latin-1"))
        return pos

    def binunicode8(self, pos: int) -> int:
        (count,) = _U64(self.data, pos)
        begin = pos + 8
        end: int = begin + count
        if end > len(self.data) or count > self.limits.pickle_string:
            self.refuse_text(count)
        self.stack.append(self._text(self.data[begin:end]))
        return end

    def binbytes(self, pos: int) -> int:
        raw, pos = self._counted(pos + 4, _U32(self.data, pos)[0])
        self.stack.append(raw)
        return pos

    def short_binbytes(self, pos: int) -> int:
        raw, pos = self._counted(pos + 1, self.data[pos])
        self.stack.append(raw)
        return pos

    def binbytes8(self, pos: int) -> int:
        raw, pos = self._counted(pos + 8, _U64(self.data, pos)[0])
        self.stack.append(raw)
        return pos

    def next_buffer(self, pos: int) -> int:
        self.stack.append(Stub(_BUFFER, ()))
        return pos

    def readonly_buffer(self, pos: int) -> int:
        return pos


UNNAMED = GlobalRef("", "<call of an object>", stub)
PERSISTENT = GlobalRef("", "<persistent id>", stub)
_BUFFER = GlobalRef("", "<out-of-band buffer>", stub)

OPCODES: dict[int, Callable[[Machine, int], int]] = {
    0x80: Machine.proto,
    0x95: Machine.frame,
    0x63: Machine.global_,
    0x93: Machine.stack_global,
    0x82: Machine.extension,
    0x83: Machine.extension,
    0x84: Machine.extension,
    0x61: Machine.append,
    0x65: Machine.appends,
    0x90: Machine.appends,  # ADDITEMS: a set is read as a list
    0x73: Machine.setitem,
    0x64: Machine.dict_,
    0x6C: Machine.list_,
    0x5D: Machine.empty_list,
    0x8F: Machine.empty_list,  # EMPTY_SET
    0x91: Machine.frozenset_,
    0x62: Machine.build,
    0x69: Machine.inst,
    0x6F: Machine.obj,
    0x81: Machine.newobj,
    0x92: Machine.newobj_ex,
    0x50: Machine.persid,
    0x30: Machine.pop,
    0x31: Machine.pop_mark,
    0x32: Machine.dup,
    0x70: Machine.put,
    0x67: Machine.get,
    0x49: Machine.int_,
    0x4C: Machine.long_,
    0x8A: Machine.long1,
    0x8B: Machine.long4,
    0x46: Machine.float_,
    0x53: Machine.string,
    0x56: Machine.unicode_,
    0x54: Machine.binstring,
    0x55: Machine.short_binstring,
    0x8D: Machine.binunicode8,
    0x42: Machine.binbytes,
    0x43: Machine.short_binbytes,
    0x8E: Machine.binbytes8,
    0x96: Machine.binbytes8,  # BYTEARRAY8
    0x97: Machine.next_buffer,
    0x98: Machine.readonly_buffer,
}
