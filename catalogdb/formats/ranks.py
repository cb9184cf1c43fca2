"""Checkpoints of several ranks: each has to be there, and whole; and Megatron's, a folder for each.

Layout after ``megatron/training/checkpointing.py`` (get_checkpoint_name, generate_state_dict): the ranks of tensor,
pipeline and expert parallelism stand in a folder's name, and how many there are in ``args``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from catalogdb.folders import RANK, RANK_STATES
from catalogdb.formats.allowance import Allowance
from catalogdb.formats.source import ByteSource, CutShort, Refused
from catalogdb.formats.zip_directory import check_end
from catalogdb.limits import Limits
from catalogdb.records import CheckpointHeader

ReadHeader = Callable[[str], CheckpointHeader]

MAX_RANKS = 100_000
_DIMENSIONS = ("tensor", "pipeline", "expert")


def read_ranks(path: str, sizes: Mapping[str, int], read_header: ReadHeader, limits: Limits) -> CheckpointHeader:
    """Megatron's ``iter_0000500/``. The first rank says how many there are; it alone is read."""
    ranks = {name: found for name in sizes if (found := RANK.fullmatch(name))}
    first = min(ranks)
    header = whole(read_header(f"{path}/{first}/{_states_of(path, first)}"), first)
    together = 1
    for place, dimension in enumerate(_DIMENSIONS, 1):
        own = {int(found[place]) for found in ranks.values() if found[place]}
        if own:
            complete(own, header.hyper_parameters.get(f"{dimension}_model_parallel_size"), f"{dimension}-parallel rank")
            together *= len(own)
    if len(ranks) < together:
        raise CutShort(f"{together - len(ranks)} of {together} ranks are missing")
    allowance = Allowance(limits)
    for name in ranks:
        allowance.check()
        check_whole(f"{path}/{name}", _states_of(path, name), limits)
    return replace(header if len(ranks) == 1 else without_weights(header), format="megatron")


def _states_of(path: str, rank: str) -> str:
    found = next((name for name in RANK_STATES if os.path.exists(f"{path}/{rank}/{name}")), None)  # noqa: PTH110
    if found is None:
        raise CutShort(f"{rank} has no {RANK_STATES[0]}")
    return found


def without_weights(header: CheckpointHeader) -> CheckpointHeader:
    """Of one rank of several: its tensors are parts, and no sums of theirs are the checkpoint's."""
    return replace(
        header,
        tensors=(),
        checksums=(),
        storages=(),
        weights=None,
        weights_prefix=None,
        weights_bytes=None,
        storage_bytes=None,
    )


def complete(ranks: set[int], world_size: object, what: str) -> None:
    """0 to the highest, and as many as the file says there are."""
    expected = world_size if type(world_size) is int and 0 < world_size < MAX_RANKS else max(ranks) + 1
    for rank in range(expected):
        if rank not in ranks:
            raise CutShort(f"{what} {rank} of {expected} is missing")


def check_whole(path: str, name: str, limits: Limits) -> None:
    fd = os.open(f"{path}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        source = ByteSource.of_descriptor(fd, os.fstat(fd).st_size, limits)
        if source.read(0, 4) == b"PK\x03\x04":
            check_end(source)
        elif not source.size:
            raise CutShort("empty")
    except CutShort as error:
        raise CutShort(f"{name}: {error}") from error
    finally:
        os.close(fd)


def whole(header: CheckpointHeader, name: str) -> CheckpointHeader:
    if header.state == "truncated":
        raise CutShort(f"{name}: {header.reason}")
    if header.state != "ready":
        raise Refused(f"{name}: {header.reason}")
    return header
