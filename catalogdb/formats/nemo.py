"""Tars: NeMo's ``.nemo``, and what torch wrote before 0.1.10.

NeMo's layout after ``nemo/core/connectors/save_restore_connector.py``: ``model_config.yaml`` and
``model_weights.ckpt``, a torch file, or ``model_weights/``, a distributed checkpoint; since 2021 without compression.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from catalogdb.folders import METADATA
from catalogdb.formats.container import Span
from catalogdb.formats.contents import read_contents
from catalogdb.formats.dcp import read_metadata
from catalogdb.formats.source import ByteSource, CutShort, Foreign, Refused
from catalogdb.formats.tar_directory import read_members
from catalogdb.formats.torch_tar import TorchTar
from catalogdb.records import CheckpointHeader

CONFIG = "model_config.yaml"
WEIGHTS = "model_weights.ckpt"
SHARDS = "model_weights/"

_TOP_LINE = re.compile(rb"^(nemo_version|target):[ \t]*['\"]?([\w.+-]{1,256})['\"]?[ \t]*$", re.MULTILINE)
_MAX_CONFIG = 1024 * 1024


def read_tar(source: ByteSource, read_source: Callable[[ByteSource], CheckpointHeader]) -> CheckpointHeader:
    """The header of a tar that is a checkpoint. Raises Foreign for any other, CutShort, Refused and OSError."""
    members = read_members(source)
    if CONFIG not in members:
        return read_contents(TorchTar(source, members))
    if WEIGHTS in members:
        header = read_source(source.window(*members[WEIGHTS]))
    elif SHARDS + METADATA in members:
        header = _read_shards(source, members)
    else:
        raise Foreign("a tar with NeMo's config, but without weights")
    if header.state != "ready":
        raise Refused(f"{WEIGHTS}: {header.reason}")
    config = source.read(members[CONFIG].at, min(members[CONFIG].size, _MAX_CONFIG))
    facts = {name.decode(): value.decode() for name, value in _TOP_LINE.findall(config)}
    return replace(
        header,
        format="nemo",
        framework="nemo",
        framework_version=facts.get("nemo_version"),
        hyper_parameters={**header.hyper_parameters, **{key: facts[key] for key in ("target",) if key in facts}},
    )


def _read_shards(source: ByteSource, members: dict[str, Span]) -> CheckpointHeader:
    sizes = {name[len(SHARDS) :]: span.size for name, span in members.items() if name.startswith(SHARDS)}

    def open_part(name: str, part: Span) -> ByteSource:
        return source.window(members[SHARDS + name].at + part.at, part.size)

    try:
        return read_metadata(source.window(*members[SHARDS + METADATA]), sizes, open_part)
    except CutShort as error:  # the tar was whole
        raise Refused(str(error)) from error
