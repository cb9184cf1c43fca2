"""What is fuzzed: each parser behind the least wrapping that lets bytes reach it, and what must hold whatever comes."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from catalogdb.formats import read_header
from catalogdb.formats.dcp import read_metadata
from catalogdb.formats.pickle_reader import read_pickle
from catalogdb.formats.source import ByteSource, CutShort, Foreign, Refused
from catalogdb.formats.zip_directory import read_directory
from catalogdb.records import CheckpointHeader
from tests.unit.formats import support

SECONDS = 2.0
"""Of processor time: the longest that any file may take."""

MAGIC = b"".join(pickle.dumps(value, protocol=2) for value in (support.LEGACY_MAGIC, 1001, {"little_endian": True}))


def check_header(header: CheckpointHeader) -> None:
    """What holds of every header: a known state, a one-line reason exactly where it isn't ready, storable text."""
    assert header.state in ("ready", "truncated", "unreadable", "foreign")
    assert (header.reason is None) == (header.state == "ready")
    assert header.reason is None or ("\n" not in header.reason and len(header.reason) < 400)
    model = header.model
    texts: list[object] = [model, header.reason, header.framework, header.framework_version, header.weights_prefix]
    json.dumps([texts, dict(header.hyper_parameters), dict(header.scalars), dict(header.metrics)]).encode()
    for name, value in [*header.hyper_parameters.items(), *header.scalars.items()]:
        f"{name}{value}".encode()
    for number in (header.epoch, header.global_step):
        assert number is None or 0 <= number < 2**63
    assert len(header.checksums) == len(header.tensors)
    assert all(0 <= size < 2**63 for tensor in header.tensors for size in tensor.shape)


def whole_file(data: bytes) -> None:
    check_header(read_header(io.BytesIO(data)))


def opcodes(data: bytes) -> None:
    try:
        read_pickle(b"\x80\x04" + data)
    except Refused:
        return


def tensors(data: bytes) -> None:
    """Tensors are read together, and have to come to what they do opcode by opcode."""
    assert support.outcome(b"\x80\x02" + data) == support.outcome(b"\x80\x02" + data, at_one_go=False)


def torch_zip(data: bytes) -> None:
    header = read_header(io.BytesIO(support.torch_zip(data, storages={"0": bytes(64), "1": bytes(4)})))
    assert header.state in ("ready", "unreadable", "foreign")
    check_header(header)


def zip_directory(data: bytes) -> None:
    try:
        read_directory(ByteSource.of_file(io.BytesIO(data)))
    except (CutShort, Refused):
        return


def torch_legacy(data: bytes) -> None:
    check_header(read_header(io.BytesIO(MAGIC + data)))


def torch_tar(data: bytes) -> None:
    parts = (data + b"||").split(b"|", 2)
    check_header(read_header(io.BytesIO(tar_of(zip(("storages", "tensors", "pickle"), parts, strict=True)))))


def nemo(data: bytes) -> None:
    members = [("model_config.yaml", b"nemo_version: 1.0\n"), ("model_weights.ckpt", data)]
    check_header(read_header(io.BytesIO(tar_of(members))))


def safetensors(data: bytes) -> None:
    check_header(read_header(io.BytesIO(struct.pack("<Q", len(data)) + data + bytes(8))))


def index(data: bytes) -> None:
    check_header(read_header(io.BytesIO(b'{"weight_map":' + data)))


def distributed(data: bytes) -> None:
    try:
        read_metadata(ByteSource.of_file(io.BytesIO(data)), {"__0_0.distcp": 64}, lambda name, span: None)
    except (CutShort, Refused, Foreign):
        return


def trainer(data: bytes) -> None:
    """``trainer_state.json``, ``config.json`` and the index of one shard, with a bar between each."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "checkpoint-5")
        folder.mkdir()
        names = ("trainer_state.json", "config.json", "model.safetensors.index.json")
        for name, content in zip(names, data.split(b"|"), strict=False):
            (folder / name).write_bytes(content)
        (folder / "model-00001-of-00001.safetensors").write_bytes(
            support.safetensors({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(8))
        )
        check_header(read_header(str(folder)))


def tar_of(members: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members:  # type: ignore[attr-defined]
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "whole_file": whole_file,
    "opcodes": opcodes,
    "tensors": tensors,
    "torch_zip": torch_zip,
    "zip_directory": zip_directory,
    "torch_legacy": torch_legacy,
    "torch_tar": torch_tar,
    "nemo": nemo,
    "safetensors": safetensors,
    "index": index,
    "distributed": distributed,
    "trainer": trainer,
}


def run_timed(target: Callable[[bytes], None], data: bytes) -> None:
    """Runs one input, and fails where it takes too long."""
    started = time.process_time()
    target(data)
    spent = time.process_time() - started
    assert spent < SECONDS, f"{spent:.1f} s for {len(data)} bytes"
