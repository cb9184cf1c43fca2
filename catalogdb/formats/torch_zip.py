"""The zip that torch.save writes since 1.6: ``<stem>/data.pkl``, ``<stem>/data/<key>``, ``<stem>/byteorder``, ….

Layout after ``torch/serialization.py`` (_save, _load) and ``caffe2/serialize/inline_container.cc``. Read are the
zip's directory, ``data.pkl`` and those storages of at most SMALL_STORAGE bytes whose number is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

from catalogdb.formats.container import MAX_STORAGES_READ, SMALL_STORAGE, Stored, decode_number
from catalogdb.formats.pickle_reader import read_pickle
from catalogdb.formats.source import ByteSource, CutShort, Foreign, Refused, over
from catalogdb.formats.tensors import ITEM_SIZES, Tensor, TensorRef, describe
from catalogdb.formats.zip_directory import CRC, SIZE, Directory, Entry, read_directory, read_entry
from catalogdb.limits import Limits


class TorchZip:
    """An open torch zip: its pickle as data, and its storages by key. Raises CutShort, Refused, Foreign, OSError."""

    format = "torch_zip"

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        directory = read_directory(source)
        self._directory = directory
        self._stem = _find_stem(directory)
        self._data = f"{self._stem}/data/"
        self._storages: dict[str, bytes | None] = {}
        self._big_endian: bool | None = None

    @property
    def limits(self) -> Limits:
        return self._source.limits

    @property
    def bytes_read(self) -> int:
        return self._source.bytes_read

    def read_checkpoint(self) -> object:
        entry = self._find("data.pkl")
        if entry is None:
            raise Refused("the zip has no data.pkl")
        limits = self._source.limits
        if entry.size > limits.pickle_bytes:
            raise over(limits, "pickle_bytes", f"pickle of {entry.size} bytes, more")
        if entry.method and entry.size > limits.inflated_bytes:
            raise over(limits, "inflated_bytes", f"pickle that inflates to {entry.size} bytes, more")
        try:
            return read_pickle(read_entry(self._source, entry, limit=limits.pickle_bytes), limits)
        except CutShort as error:  # the directory was whole, so the file wasn't cut: the entry lies
            raise Refused(str(error)) from error

    def stored(self, tensors: Mapping[str, Tensor]) -> Stored:
        """A checksum is None where it isn't known (``set_crc32_options(False)`` writes 0).

        Refused where a storage isn't in the zip, or is smaller than the tensor.
        """
        found: list[int | None] = []
        sizes: dict[str, int] = {}
        look_up, prefix, widths = self._directory.record, self._data, ITEM_SIZES
        for name, (dtype, _, _, _, key, _, extent) in tensors.items():
            if key is None:
                found.append(None)
                continue
            record = look_up(prefix + key)
            if record is None:
                raise Refused(f"the storage of {name[:80]!r} is missing")
            crc, size = record[CRC], record[SIZE]
            if extent * widths.get(dtype, 0) > size:
                raise Refused(f"the tensor {name[:80]!r} is larger than its storage")
            found.append(crc if crc or not size else None)
            sizes[key] = size
        return Stored(tuple(found), sum(sizes.values()))

    def number(self, ref: TensorRef) -> bool | int | float | None:
        """The number in a tensor of one element, if its storage is small; else None."""
        tensor = describe(ref)
        if tensor is None or tensor.numel != 1 or tensor.key is None:
            return None
        storage = self._storage(tensor.key)
        return None if storage is None else decode_number(tensor, storage, big_endian=self._is_big_endian())

    def storage_bytes(self) -> int:
        return self._directory.size_below(self._data)

    def storage(self, key: str) -> Entry | None:
        """The entry of a storage, for who wants to read it whole."""
        return self._find(f"data/{key}")

    def _find(self, name: str) -> Entry | None:
        return self._directory.find(f"{self._stem}/{name}")

    def _storage(self, key: str) -> bytes | None:
        if key in self._storages:
            return self._storages[key]
        entry = self._find(f"data/{key}")
        content = None
        if entry is not None and entry.size <= SMALL_STORAGE and len(self._storages) < MAX_STORAGES_READ:
            try:
                content = read_entry(self._source, entry, limit=SMALL_STORAGE)
            except CutShort as error:
                raise Refused(str(error)) from error
        self._storages[key] = content
        return content

    def _is_big_endian(self) -> bool:
        if self._big_endian is None:
            entry = self._find("byteorder")
            self._big_endian = entry is not None and read_entry(self._source, entry, limit=16) == b"big"
        return self._big_endian


def _find_stem(directory: Directory) -> str:
    """The one top folder. torch's reader asks for a ``version`` record, so a zip without is not torch's."""
    names = directory.names
    first, least, most = next(iter(names), ""), min(names, default=""), max(names, default="")
    stem, _, rest = first.partition("/")
    prefix = f"{stem}/"
    inside = least.startswith(prefix) and most.startswith(prefix)  # so do all between them, then
    stems = [stem]
    if rest != "data.pkl" or not inside:  # torch writes it first
        stems = [name[:-9] for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if not stems:
            raise Foreign("a zip without data.pkl")
        stem = stems[0]
        prefix = f"{stem}/"
        inside = least.startswith(prefix) and most.startswith(prefix)
    if f"{prefix}constants.pkl" in names and any(name.startswith(f"{prefix}code/") for name in names):
        raise Foreign("a TorchScript archive")
    if f"{prefix}version" not in names and f"{prefix}.data/version" not in names:
        raise Foreign("a zip with a data.pkl, but without torch's version record")
    if len(stems) > 1:
        raise Refused("the zip has two data.pkl")
    if not inside:
        outside = next(name for name in names if not name.startswith(prefix))
        raise Refused(f"the zip has an entry outside its folder ({outside[:80]!r})")
    if ".." in "/".join(names):
        climbing = next((name for name in names if ".." in name.split("/")), None)
        if climbing is not None:
            raise Refused(f"the zip has an entry named {climbing[:80]!r}")
    return stem
