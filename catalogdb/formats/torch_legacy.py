"""The stream that torch.save wrote before 1.6, and still does with ``_use_new_zipfile_serialization=False``.

Layout after ``torch/serialization.py`` (_legacy_save, _legacy_load) and ``torch/csrc/serialization.cpp``
(THPStorage_writeFileRaw): five pickles (magic number, protocol 1001, system information, the object, the sorted keys
of its storages), then for each key 8 little-endian bytes, the number of elements, and the elements. The pickles are
read, the storages are not: their places follow from the keys and from the sizes that the persistent ids state.
"""

from __future__ import annotations

from catalogdb.formats.container import InPlace, Span
from catalogdb.formats.pickle_reader import as_storage
from catalogdb.formats.pickle_stream import PickleStream
from catalogdb.formats.pickle_values import GlobalRef
from catalogdb.formats.source import ByteSource, CutShort, Foreign, Refused, over
from catalogdb.formats.tensors import MAX_DIM, StorageRef, storage_item_size

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


class TorchLegacy(InPlace):
    """An open legacy stream. Raises CutShort, Refused and OSError."""

    format = "torch_legacy"

    def __init__(self, source: ByteSource) -> None:
        super().__init__(source)
        self._pids: dict[str, tuple[object, ...]] = {}

    def read_checkpoint(self) -> object:
        stream = PickleStream(self._source)
        if stream.read() != MAGIC:
            raise Refused("the magic number of torch isn't where it should be")
        protocol = stream.read()
        if protocol != PROTOCOL:
            raise Refused(f"torch's legacy protocol {str(protocol)[:20] if type(protocol) is int else 'is no number'}")
        stream.read()  # sys_info: whether the machine was little-endian; the storages are, in any case
        checkpoint = stream.read(self._persistent)
        self._place(stream.read(), stream.at)
        return checkpoint

    def _persistent(self, pid: object) -> object:
        made = as_storage(pid)
        if type(made) is StorageRef:
            key = made.pid[2]
            if type(key) is str:
                self._pids.setdefault(key, made.pid)
                if len(self._pids) > self._source.limits.tensors:
                    raise over(self._source.limits, "tensors", "more storages")
        return made

    def _place(self, keys: object, at: int) -> None:
        """Where each storage lies: they follow one another in the order of ``keys``, the fifth pickle."""
        if type(keys) is not list:
            raise Refused("the list of storages is missing")
        for key in keys:
            pid = self._pids.get(key) if type(key) is str else None
            if pid is None or key in self._spans:
                raise Refused("the list of storages and the pickle differ")
            size = storage_size(pid[1], pid[4])
            self._spans[key] = Span(at + 8, size)
            at += 8 + size
        if at > self._source.size:
            raise CutShort(f"the storages need {at} bytes, the file holds {self._source.size}")


def storage_size(kind: object, count: object) -> int:
    """The bytes of a storage of ``count`` elements of the type ``kind``. Refused where that isn't known."""
    width = storage_item_size(kind) if type(kind) is GlobalRef else None
    if width is None or type(count) is not int or not 0 <= count <= MAX_DIM:
        raise Refused("a storage of unknown size")
    return count * width


class BarePickle(InPlace):
    """A pickle of a mapping, as ``pickle.dump`` writes it. Foreign where it holds something else."""

    format = "pickle"

    def read_checkpoint(self) -> object:
        checkpoint = PickleStream(self._source).read()
        if type(checkpoint) is not dict:
            raise Foreign("a pickle, but not of a dict")
        return checkpoint
