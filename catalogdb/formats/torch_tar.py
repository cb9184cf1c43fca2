"""The tar that torch.save wrote before 0.1.10: members ``storages``, ``tensors`` and ``pickle``.

Layout after ``torch/serialization.py`` (_legacy_load: legacy_load). ``storages``: a pickled count, then for each a
pickle ``(key, location, type)``, 8 bytes, the number of elements, and the elements; then a pickled list of views
``(key, root's key, offset, size)``. ``tensors``: a pickled count, then for each a pickle ``(key, storage's key,
type)``, 4 bytes of dimensions, 4 that are skipped, sizes, strides and offset of 8 bytes each. ``pickle``: the object,
whose persistent ids are those keys, or ``(class, file, source)``.
"""

from __future__ import annotations

import struct

from catalogdb.formats.container import InPlace, Span
from catalogdb.formats.pickle_machine import PERSISTENT
from catalogdb.formats.pickle_stream import PickleStream
from catalogdb.formats.pickle_values import Stub
from catalogdb.formats.source import ByteSource, CutShort, Foreign, Refused, over
from catalogdb.formats.tensors import MAX_DIMS, StorageRef, TensorRef
from catalogdb.formats.torch_legacy import storage_size

MEMBERS = ("storages", "tensors", "pickle")

_FIRST = 4096
"""A description of a storage has about 150 bytes; what follows it isn't wanted."""


class TorchTar(InPlace):
    """An open tar of torch. Raises CutShort, Refused, Foreign and OSError."""

    format = "torch_tar"

    def __init__(self, source: ByteSource, members: dict[str, Span]) -> None:
        if not members.keys() >= set(MEMBERS):
            raise Foreign("a tar without torch's pickle")
        super().__init__(source)
        self._members = members
        self._objects: dict[int, StorageRef | TensorRef] = {}

    def read_checkpoint(self) -> object:
        try:
            self._read_storages(self._open("storages"))
            self._read_tensors(self._open("tensors"))
            at, size = self._members["pickle"]
            return PickleStream(self._source.window(at, size)).read(self._persistent)
        except CutShort as error:  # the tar was whole, so the file wasn't cut: a member lies
            raise Refused(str(error)) from None

    def _open(self, name: str) -> PickleStream:
        at, size = self._members[name]
        return PickleStream(self._source.window(at, size), first=_FIRST)

    def _read_storages(self, stream: PickleStream) -> None:
        base = self._members["storages"].at
        for _ in range(self._count(stream.read())):
            key, location, kind = _three(stream.read())
            (count,) = struct.unpack("<q", stream.take(8))
            size = storage_size(kind, count)
            name = self._own_key(key)
            self._spans[name] = Span(base + stream.at, size)
            self._objects[key] = StorageRef(("storage", kind, name, location, count))
            stream.skip(size)
        views = stream.read()
        if type(views) is not list or len(views) > self._source.limits.tensors:
            raise Refused("the list of views is missing, or too long")
        for view in views:
            self._add_view(view)

    def _add_view(self, view: object) -> None:
        if type(view) is not tuple or len(view) != 4 or type(view[1]) is not int:
            raise Refused("a view of a storage can't be understood")
        root = self._objects.get(view[1])
        if type(root) is not StorageRef:
            raise Refused("a view of a storage that isn't there")
        self._own_key(view[0])
        self._objects[view[0]] = StorageRef((*root.pid[:5], (str(view[0]), view[2], view[3])))

    def _read_tensors(self, stream: PickleStream) -> None:
        for _ in range(self._count(stream.read())):
            key, storage_key, _ = _three(stream.read())
            storage = self._objects.get(storage_key) if type(storage_key) is int else None
            if type(storage) is not StorageRef:
                raise Refused("a tensor of a storage that isn't there")
            (dims,) = struct.unpack("<i", stream.take(8)[:4])
            if not 0 <= dims <= MAX_DIMS:
                raise Refused(f"a tensor of {dims} dimensions")
            numbers = struct.unpack(f"<{2 * dims + 1}q", stream.take(16 * dims + 8))
            self._own_key(key)
            self._objects[key] = TensorRef((storage, numbers[-1], numbers[:dims], numbers[dims : 2 * dims]))

    def _count(self, value: object) -> int:
        if type(value) is not int or value < 0:
            raise Refused("a count of the tar is no number")
        if value > self._source.limits.tensors:
            raise over(self._source.limits, "tensors", f"a tar of {value} tensors or storages, more")
        return value

    def _own_key(self, key: object) -> str:
        if type(key) is not int or key in self._objects or key.bit_length() > 64:
            raise Refused("two parts of the tar have one key, or one has none")
        return str(key)

    def _persistent(self, pid: object) -> object:
        if type(pid) is tuple and pid:
            return pid[0]
        digits = pid if type(pid) is int else int(pid) if type(pid) is str and pid.isdigit() and len(pid) < 24 else None
        found = None if digits is None else self._objects.get(digits)
        return Stub(PERSISTENT, (pid,)) if found is None else found


def _three(value: object) -> tuple[int, object, object]:
    if type(value) is not tuple or len(value) != 3 or type(value[0]) is not int:
        raise Refused("a description in the tar can't be understood")
    return value
