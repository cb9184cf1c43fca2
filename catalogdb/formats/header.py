"""The one entry: a file's path to what its header says."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catalogdb.formats.lightning_state import (
    VERSION_KEY,
    as_score,
    is_lightning,
    read_hyper_parameters,
    read_monitors,
    read_progress,
)
from catalogdb.formats.plain import ReadTensor, as_count, as_mapping, as_text, mapping_at
from catalogdb.formats.safetensors import read_safetensors
from catalogdb.formats.sniff import HEAD, Kind, sniff
from catalogdb.formats.source import WHOLE_FILE, ByteSource, CutShort, Refused
from catalogdb.formats.torch_zip import NotTorch, TorchZip
from catalogdb.formats.weights import find_state_dict, weigh
from catalogdb.records import CheckpointHeader

_FORMATS: dict[Kind, str] = {"zip": "torch_zip"}

OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Non-blocking: opening a FIFO would otherwise wait for a writer."""


def read_header(path: str) -> CheckpointHeader:
    """What the checkpoint file at ``path`` says about itself. Nothing in it is executed.

    Cost follows the number of tensors, not the size of the file. Raises OSError where the file can't be opened or
    read (a directory included); whatever it holds ends in a header with a state and a reason.
    """
    fd = os.open(path, OPEN_FLAGS)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            return CheckpointHeader(None, "foreign", "not a regular file")
        source = ByteSource(fd, status.st_size)
        return replace(_read(source), bytes_read=source.bytes_read)
    finally:
        os.close(fd)


def _read(source: ByteSource) -> CheckpointHeader:
    if not source.size:
        return CheckpointHeader(None, "truncated", "empty")
    head = source.keep(0, WHOLE_FILE)[:HEAD] if source.size <= WHOLE_FILE else source.read(0, HEAD)
    kind = sniff(head)
    if kind is None:
        return CheckpointHeader(None, "foreign", "no known checkpoint format")
    name = _FORMATS.get(kind, kind)
    try:
        if kind == "zip":
            return _read_torch_zip(source)
        if kind == "safetensors":
            return read_safetensors(source)
    except NotTorch as error:
        return CheckpointHeader(None, "foreign", str(error))
    except CutShort as error:
        return CheckpointHeader(name, "truncated", str(error))
    except Refused as error:
        return CheckpointHeader(name, "unreadable", str(error))
    return CheckpointHeader(name)  # torch_legacy, pickle, tar: known by name alone so far


def _read_torch_zip(source: ByteSource) -> CheckpointHeader:
    archive = TorchZip(source)
    checkpoint = as_mapping(archive.read_checkpoint())
    if checkpoint is None:
        return CheckpointHeader("torch_zip")
    lightning = is_lightning(checkpoint)
    header = CheckpointHeader(
        format="torch_zip",
        framework="lightning" if lightning else None,
        framework_version=as_text(checkpoint.get(VERSION_KEY)) if lightning else None,
        progress=read_progress(checkpoint) if lightning else None,
        epoch=as_count(checkpoint.get("epoch")),
        global_step=as_count(checkpoint.get("global_step")),
        monitors=read_monitors(checkpoint, archive.number) if lightning else (),
        hyper_parameters=read_hyper_parameters(checkpoint, archive.number),
        metrics=_read_metrics(checkpoint, archive.number),
    )
    tensors = find_state_dict(checkpoint)
    if tensors is None:
        return header
    infos, weights = weigh(tensors, archive.checksum)
    return replace(header, tensors=infos, weights=weights)


def _read_metrics(checkpoint: Mapping[Any, Any], read_tensor: ReadTensor) -> dict[str, float]:
    """``cleval_metrics``: the metrics of this very file."""
    found: dict[str, float] = {}
    metrics = mapping_at(checkpoint, "cleval_metrics")
    for name in ("precision", "recall", "hmean"):
        score = as_score(metrics.get(name), read_tensor)
        if score is not None:
            found[f"cleval/{name}"] = score
    return found
