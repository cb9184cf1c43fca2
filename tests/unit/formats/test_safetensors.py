from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from catalogdb.formats import read_header
from catalogdb.records import TensorInfo
from tests.unit.formats import support
from tests.unit.formats.support import safetensors

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
JSON = json.dumps(F32).encode()


def test_what_the_library_wrote(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    tensors = {
        "a.weight": torch.zeros(3, 4),
        "b.running_mean": torch.zeros(7),
        "c": torch.zeros(2, dtype=torch.bfloat16),
        "d": torch.zeros((), dtype=torch.int64),
        "e": torch.zeros(5).to(torch.float8_e4m3fn),
        "f": torch.zeros(0, 3, dtype=torch.bool),
    }
    path = tmp_path / "model.safetensors"
    metadata = {"format": "pt", "epoch": "12", "step": "900", "ss_network_dim": "8"}
    library.save_file(tensors, path, metadata=metadata)
    header = read_header(str(path))
    assert (header.format, header.state, header.reason) == ("safetensors", "ready", None)
    assert (header.epoch, header.global_step) == (12, 900)
    assert header.hyper_parameters == {"format": "pt", "ss_network_dim": "8"}
    assert set(header.tensors) == {
        TensorInfo("a.weight", (3, 4), "float32"),
        TensorInfo("b.running_mean", (7,), "float32"),
        TensorInfo("c", (2,), "bfloat16"),
        TensorInfo("d", (), "int64"),
        TensorInfo("e", (5,), "float8_e4m3fn"),
        TensorInfo("f", (0, 3), "bool"),
    }
    assert header.weights is not None
    assert (header.weights.num_tensors, header.weights.num_parameters) == (6, 12 + 2 + 1 + 5)
    assert header.weights.fingerprint is None


def test_cut_anywhere_is_truncated(tmp_path: Path) -> None:
    whole = safetensors({"w": {"dtype": "F32", "shape": [500], "data_offsets": [0, 2000]}}, bytes(2000))
    assert support.read_bytes(tmp_path, whole).state == "ready"
    for length in range(9, len(whole), 7):
        header = support.read_bytes(tmp_path, whole[:length])
        assert (header.format, header.state) == ("safetensors", "truncated"), length


def tensor(**changes: Any) -> dict[str, Any]:
    return {"w": F32 | changes}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (safetensors(b"{]"), "no JSON"),
        (safetensors(b'{"a": NaN}'), "no JSON"),
        (safetensors(b'{"w": 1' + b"1" * 5000 + b"}"), "no JSON"),
        (safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested too deep"),
        (safetensors(b"{" + b'"a":{' * 100_000), "nested too deep"),
        (safetensors(b'{"a":[' + b"[]," * 1_100_000 + b"[]]}"), "too many parts"),
        (safetensors(b'{"w":%b,"w":%b}' % (JSON, JSON), bytes(8)), "one name"),
        (safetensors(tensor(data_offsets=[-8, 0]), bytes(8)), "impossible"),
        (safetensors(tensor(data_offsets=[8, 0]), bytes(8)), "differ in size"),
        (safetensors(tensor(data_offsets=[0, 4]), bytes(8)), "differ in size"),
        (safetensors(tensor(data_offsets=[8, 16]), bytes(16)), "gap"),
        (safetensors(tensor(data_offsets=[0, True]), bytes(8)), "impossible"),
        (safetensors(tensor(data_offsets=[0]), bytes(8)), "impossible"),
        (safetensors(tensor(shape=[-2]), bytes(8)), "impossible"),
        (safetensors(tensor(shape=[2**63]), bytes(8)), "impossible"),
        (safetensors(tensor(shape=[1] * 65), bytes(8)), "impossible"),
        (safetensors(tensor(shape=2), bytes(8)), "impossible"),
        (safetensors(tensor(dtype="F33"), bytes(8)), "dtype"),
        (safetensors(tensor(dtype=["F32"]), bytes(8)), "dtype"),
        (safetensors({"w": 7}), "isn't described"),
        (safetensors({"w": {}}), "isn't described"),
        (safetensors({"a": F32, "b": F32}, bytes(8)), "overlap"),
        (safetensors({"w": F32}, bytes(9)), "follow the tensors"),
        (safetensors({"__metadata__": {"a": 1}}), "metadata"),
        (safetensors({"__metadata__": [1]}), "metadata"),
        (struct.pack("<Q", 100_000_001) + b"{}", "safetensors header of 100000001 bytes"),
    ],
)
def test_headers_that_lie_are_unreadable(tmp_path: Path, content: bytes, reason: str) -> None:
    header = support.read_bytes(tmp_path, content)
    assert (header.format, header.state) == ("safetensors", "unreadable")
    assert header.reason is not None
    assert reason in header.reason


@pytest.mark.parametrize(
    ("metadata", "epoch", "global_step", "params"),
    [
        ({"epoch": "3", "global_step": "10", "step": "9"}, 3, 10, {}),
        ({"step": "9", "global_step": "10"}, None, 10, {}),
        ({"epoch": "-1", "step": "1e3"}, None, None, {"epoch": "-1", "step": "1e3"}),
        ({"epoch": "٣"}, None, None, {"epoch": "٣"}),
        ({"long": "x" * 4097, "short": "x"}, None, None, {"short": "x"}),
        ({"half": "\ud800"}, None, None, {"half": "?"}),
    ],
)
def test_metadata(
    tmp_path: Path, metadata: dict[str, str], epoch: int | None, global_step: int | None, params: dict[str, str]
) -> None:
    header = support.read_bytes(tmp_path, safetensors({"__metadata__": metadata}))
    assert (header.state, header.epoch, header.global_step) == ("ready", epoch, global_step)
    assert header.hyper_parameters == params


def test_metadata_is_capped(tmp_path: Path) -> None:
    header = support.read_bytes(tmp_path, safetensors({"__metadata__": {f"k{i}": "v" for i in range(1000)}}))
    assert len(header.hyper_parameters) == 256
    assert header.weights is None
