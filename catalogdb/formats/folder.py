"""Folders that are one checkpoint: torch's distributed ones, those of Lightning, DeepSpeed, Megatron and NeMo 2, and
Hugging Face's.

Each is one row, and the files in it are none: ``catalogdb.folders`` tells which by the names alone. Complete only when
every part is there: a missing one is a CutShort, as the end of a file would be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from catalogdb.folders import (
    COMMON,
    LIGHTNING_TAG,
    META,
    METADATA,
    MODEL_STATES,
    NEMO_WEIGHTS,
    OPTIM_STATES,
    FolderKind,
    kind_of_folder,
)
from catalogdb.formats.allowance import Allowance
from catalogdb.formats.container import Span
from catalogdb.formats.dcp import read_metadata
from catalogdb.formats.hugging_face import read_trainer_folder
from catalogdb.formats.ranks import ReadHeader, check_whole, complete, read_ranks, whole, without_weights
from catalogdb.formats.source import ByteSource, CutShort, Foreign, Refused
from catalogdb.limits import DEFAULT, Limits
from catalogdb.records import CheckpointHeader

MAX_FILES = 100_000
_FORMATS: dict[FolderKind, str] = {
    "torch_dcp": "torch_dcp",
    "deepspeed": "deepspeed",
    "lightning_deepspeed": "deepspeed",
    "hugging_face": "sharded",
    "megatron": "megatron",
    "nemo": "torch_dcp",
}


def read_folder(
    path: str, read_header: ReadHeader, limits: Limits = DEFAULT, *, inner: bool = False
) -> CheckpointHeader:
    """The header of a folder. Raises IsADirectoryError for one that is no checkpoint, and OSError.

    ``inner``: it holds the weights of a Trainer's folder, and is none itself: they don't nest.
    """
    sizes = _sizes(path)
    files = {name for name, size in sizes.items() if size >= 0}
    kind = kind_of_folder(os.path.realpath(path).rpartition("/")[2], files, sizes.keys() - files)
    if kind is None or (inner and kind == "hugging_face"):
        raise IsADirectoryError(f"{path} is a folder, and no checkpoint")
    try:
        return _read_kind(kind, path, sizes, read_header, limits)
    except Foreign as error:
        return CheckpointHeader(None, "foreign", str(error))
    except CutShort as error:
        return CheckpointHeader(_FORMATS[kind], "truncated", str(error))
    except Refused as error:
        return CheckpointHeader(_FORMATS[kind], "unreadable", str(error))


def _read_kind(
    kind: FolderKind, path: str, sizes: Mapping[str, int], read_header: ReadHeader, limits: Limits
) -> CheckpointHeader:
    if kind == "torch_dcp":
        return _read_dcp(path, sizes, read_header, limits)
    if kind == "lightning_deepspeed":
        path = f"{path}/{LIGHTNING_TAG}"
        return _read_deepspeed(path, _sizes(path), read_header, limits)
    if kind == "deepspeed":
        return _read_deepspeed(path, sizes, read_header, limits)
    if kind == "megatron":
        return read_ranks(path, sizes, read_header, limits)
    if kind == "nemo":
        path = f"{path}/{NEMO_WEIGHTS}"
        return _read_dcp(path, _sizes(path), read_header, limits)
    return read_trainer_folder(
        path, sizes, read_header, lambda inner: read_folder(inner, read_header, limits, inner=True)
    )


def _sizes(path: str) -> dict[str, int]:
    """Sizes of the files by name; folders have -1."""
    sizes: dict[str, int] = {}
    with os.scandir(path) as entries:
        for entry in entries:
            if len(sizes) == MAX_FILES:
                break
            sizes[entry.name] = _size(entry)
    return sizes


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size if entry.is_file() else -1
    except OSError:  # it went, or is a link in circles
        return -1


def _read_dcp(path: str, sizes: Mapping[str, int], read_header: ReadHeader, limits: Limits) -> CheckpointHeader:
    """A distributed checkpoint; with Lightning's ``meta.pt``, or Megatron's ``common.pt``
    (``megatron/core/dist_checkpointing/strategies/common.py``), what that says as well."""
    if sizes.get(METADATA, -1) < 0:
        raise CutShort("its .metadata, which is written last, isn't there")

    def open_part(name: str, part: Span) -> ByteSource | None:
        fd = os.open(f"{path}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            data = os.pread(fd, part.size, part.at)
        finally:
            os.close(fd)
        return ByteSource(lambda count, offset: data[offset : offset + count], len(data), limits)

    with open(f"{path}/{METADATA}", "rb") as file:  # noqa: PTH123
        source = ByteSource.of_descriptor(file.fileno(), sizes[METADATA], limits)
        header = replace(read_metadata(source, sizes, open_part), bytes_read=source.bytes_read)
    rest_of = next((name for name in (META, COMMON) if name in sizes), None)
    if rest_of is None:
        return header
    rest = whole(read_header(f"{path}/{rest_of}"), rest_of)
    return replace(
        rest,
        format=header.format,
        epoch=header.epoch if rest.epoch is None else rest.epoch,
        global_step=header.global_step if rest.global_step is None else rest.global_step,
        tensors=header.tensors,
        checksums=header.checksums,
        weights=header.weights,
        weights_prefix=header.weights_prefix,
        storage_bytes=header.storage_bytes,
        bytes_read=header.bytes_read + rest.bytes_read,
    )


def _read_deepspeed(path: str, sizes: Mapping[str, int], read_header: ReadHeader, limits: Limits) -> CheckpointHeader:
    """The first model file says how many ranks there are; each has to be there, and whole."""
    models = {name: found for name in sizes if (found := MODEL_STATES.fullmatch(name))}
    if not models:
        raise CutShort("no rank's model states are there")
    header = whole(read_header(f"{path}/{min(models)}"), min(models))
    model_ranks = {int(found[2]) for found in models.values()}
    complete(model_ranks, header.scalars.get("mp_world_size"), "model-parallel rank")
    for pattern, what in ((MODEL_STATES, "model states"), (OPTIM_STATES, "optimizer states")):
        ranks = {(int(found[1]), int(found[2])) for name in sizes if (found := pattern.fullmatch(name)) and found[1]}
        for model_rank in {rank for _, rank in ranks}:
            own = {rank for rank, other in ranks if other == model_rank}
            complete(own, header.scalars.get("dp_world_size"), f"{what} of data-parallel rank")
    allowance = Allowance(limits)
    for name in sizes:
        if MODEL_STATES.fullmatch(name) or OPTIM_STATES.fullmatch(name):
            allowance.check()
            check_whole(path, name, limits)
    return replace(header if len(model_ranks) == 1 else without_weights(header), format="deepspeed")
