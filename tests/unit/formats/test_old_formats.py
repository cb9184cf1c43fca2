"""Files of torch before 1.6: the legacy stream by torch's own writer, the tar byte by byte; and bare pickles."""

from __future__ import annotations

import argparse
import io
import pickle
import random
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from catalogdb.formats import read_header
from catalogdb.formats.deep import read_deep
from catalogdb.records import CheckpointHeader, TensorInfo
from tests.fuzz.seeds import legacy_stream, torch_tar
from tests.fuzz.targets import tar_of
from tests.unit.formats import support
from tests.unit.formats.support import mapping, name_ref, pickled, tensor_opcodes, text

torch = pytest.importorskip("torch")


def save(folder: Path, value: object, name: str = "x.pt", **options: Any) -> str:
    path = folder / name
    torch.save(value, path, _use_new_zipfile_serialization=False, **options)
    return str(path)


def state_dict() -> OrderedDict[str, Any]:
    torch.manual_seed(0)
    shared = torch.randn(4, 3)
    return OrderedDict(
        weight=shared,
        tied=shared,
        view=shared[1:3],
        half=torch.randn(5).half(),
        brain=torch.randn(2, 2).bfloat16(),
        count=torch.tensor(7),
        flags=torch.tensor([True, False]),
        empty=torch.zeros(0, 3),
        turned=torch.randn(3, 2).t(),
    )


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_torch_wrote(tmp_path: Path, protocol: int) -> None:
    state = state_dict()
    loss = torch.tensor(0.25)
    path = save(
        tmp_path, {"epoch": 3, "global_step": 70_000, "loss": loss, "state_dict": state}, pickle_protocol=protocol
    )
    header = read_header(path)
    assert (header.format, header.state, header.reason) == ("torch_legacy", "ready", None)
    assert (header.epoch, header.global_step) == (3, 70_000)
    assert header.scalars == {"epoch": 3, "global_step": 70_000, "loss": 0.25}
    assert header.tensors == tuple(
        TensorInfo(name, tuple(value.shape), str(value.dtype).removeprefix("torch.")) for name, value in state.items()
    )
    assert header.weights is not None
    assert header.weights.num_parameters == 12 + 6 + 5 + 4 + 1 + 2 + 6
    assert header.storage_bytes == 48 + 10 + 8 + 8 + 2 + 24 + 4
    assert header.weights_bytes == header.storage_bytes - 4


def test_the_same_weights_have_one_deep_fingerprint_in_every_container(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    state = {"b": torch.randn(300, 7), "a": torch.randn(5).half(), "c": torch.arange(4)}
    old = save(tmp_path, {"epoch": 2, "state_dict": state}, "old.pt")
    torch.save({"state_dict": state}, tmp_path / "new.pt")
    library.save_file(state, tmp_path / "new.safetensors")
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, tmp_path / "unchecked.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    paths = [old, *(str(tmp_path / name) for name in ("new.pt", "new.safetensors", "unchecked.pt"))]
    deep = [read_deep(path).weights for path in paths]
    found = {weights.fingerprint for weights in deep if weights is not None}
    assert len(deep) == 4
    assert found == {fingerprint_of(read_header(paths[1]))}
    assert fingerprint_of(read_header(old)) is None


def fingerprint_of(header: CheckpointHeader) -> str | None:
    assert header.weights is not None
    return header.weights.fingerprint


def test_a_flipped_bit_in_a_payload_is_found_by_looking_deep(tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.randn(1000)}}, tmp_path / "x.pt")
    content = bytearray((tmp_path / "x.pt").read_bytes())
    content[2000] ^= 1
    (tmp_path / "x.pt").write_bytes(content)
    assert read_header(str(tmp_path / "x.pt")).state == "ready"
    deep = read_deep(str(tmp_path / "x.pt"))
    assert (deep.state, deep.reason) == (
        "unreadable",
        "the checksum of '0' is wrong: its bytes have changed since they were written",
    )


def test_cut_anywhere_is_truncated(tmp_path: Path) -> None:
    content = Path(save(tmp_path, {"epoch": 1, "state_dict": state_dict()})).read_bytes()
    for length in range(97, len(content), 97):
        header = support.read_bytes(tmp_path, content[:length])
        assert (header.state, header.epoch) == ("truncated", None), length
    for length in (len(content) - 1, len(content) - 8):
        assert support.read_bytes(tmp_path, content[:length]).state == "truncated"


def test_a_pickle_longer_than_one_window(tmp_path: Path) -> None:
    """Read again in a larger window, from 64 kB to 512 kB and on; cut in each, it is truncated."""
    dice = random.Random(1)
    notes = {f"{dice.random()}": [f"{dice.random()}" for _ in range(500)] for _ in range(130)}
    path = save(tmp_path, {"epoch": 4, "notes": notes, "state_dict": {"w": torch.zeros(30_000)}})
    content = Path(path).read_bytes()
    assert len(content) > 1_300_000
    header = read_header(path)
    assert (header.state, header.epoch) == ("ready", 4)
    assert header.weights is not None
    for length in (70_000, 600_000, 1_200_000, len(content) - 1):
        assert support.read_bytes(tmp_path, content[:length]).state == "truncated"


def test_little_is_read_of_a_large_file(tmp_path: Path) -> None:
    header = read_header(save(tmp_path, {"state_dict": {f"layer.{i}": torch.zeros(50_000) for i in range(60)}}))
    assert header.weights is not None
    assert header.weights.num_parameters == 3_000_000
    assert header.bytes_read < 150_000


def test_a_view_of_a_storage(tmp_path: Path) -> None:
    """Torch before 0.4 wrote ``(key, offset, size)`` as the sixth part of a persistent id."""
    view = b"(" + text("v") + b"K\x02K\x04t"
    opcodes = tensor_opcodes("0", shape=(3,), numel=6).replace(b"J\x06\x00\x00\x00tQ", b"K\x06" + view + b"tQ")
    head = legacy_stream().partition(b"\x80\x02}(")[0]
    stream = head + pickled(mapping(w=opcodes)) + pickle.dumps(["0"], protocol=2) + struct.pack("<q6f", 6, *range(6))
    header = support.read_bytes(tmp_path, stream)
    assert (header.state, header.tensors) == ("ready", (TensorInfo("w", (3,), "float32"),))
    beyond = support.read_bytes(tmp_path, stream.replace(b"K\x02K\x04t", b"K\x04K\x04t"))
    assert beyond.reason == "the tensor 'w' is larger than its storage"


def test_a_class_with_its_source_is_the_class(tmp_path: Path) -> None:
    """``('module', cls, file, source)``: how whole modules were written, so that a change of source could be told."""
    cls = b"(" + text("module") + name_ref("torch.nn.modules.linear", "Linear") + text("f.py") + text("code") + b"tQ"
    state = mapping(_modules=b"}", _parameters=mapping(weight=tensor_opcodes("0", shape=(2,), numel=2)), _buffers=b"}")
    head = legacy_stream().partition(b"\x80\x02}(")[0]
    stream = (
        head + pickled(cls + b")\x81" + state + b"b") + pickle.dumps(["0"], protocol=2) + struct.pack("<q2f", 2, 1, 2)
    )
    header = support.read_bytes(tmp_path, stream)
    assert header.tensors == (TensorInfo("weight", (2,), "float32"),)


def test_the_tar_of_torch_before_0_1_10(tmp_path: Path) -> None:
    header = support.read_bytes(tmp_path, torch_tar())
    assert (header.format, header.state, header.epoch) == ("torch_tar", "ready", 4)
    assert header.tensors == (TensorInfo("w", (2, 3), "float32"),)
    assert header.storage_bytes == 24


@pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")  # of torch's own use of tarfile
def test_torch_reads_the_same_tar(tmp_path: Path) -> None:
    """The layout is torch's own, then."""
    path = tmp_path / "x.pth"
    path.write_bytes(torch_tar())
    loaded = torch.load(path, weights_only=False)
    assert loaded["epoch"] == 4
    assert loaded["state_dict"]["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_torch_reads_the_same_stream(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(legacy_stream())
    loaded = torch.load(path, weights_only=False)
    assert loaded["state_dict"]["b"].item() == 0.5
    assert support.read_bytes(tmp_path, legacy_stream()).monitors[0].current_score == 0.5


def test_a_tar_view_and_a_number(tmp_path: Path) -> None:
    kind = name_ref("torch", "DoubleStorage")
    storages = pickled(b"K\x01") + pickled(b"(K\x07" + text("cpu") + kind + b"t") + struct.pack("<q3d", 3, 1, 2, 3)
    storages += pickled(b"](K\x08K\x07K\x01K\x02ta")
    tensors = pickled(b"K\x01") + pickled(b"(K\x09K\x08Nt") + struct.pack("<iiqqq", 1, 0, 1, 1, 1)
    checkpoint = pickled(mapping(cleval_metrics=mapping(hmean=b"K\x09Q")))
    content = tar_of([("storages", storages), ("tensors", tensors), ("pickle", checkpoint)])
    assert support.read_bytes(tmp_path, content).metrics == {"cleval/hmean": 3.0}


@pytest.mark.parametrize("protocol", range(6))
def test_a_bare_pickle_of_a_dict(tmp_path: Path, protocol: int) -> None:
    value = {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, depth=18),
        "best": 0.5,
        "log": [f"{i:04}" * 250 for i in range(99)],
    }
    header = support.read_bytes(tmp_path, pickle.dumps(value, protocol=protocol))
    assert (header.format, header.state, header.epoch) == ("pickle", "ready", 3)
    assert header.hyper_parameters == {"lr": 0.1, "depth": 18}
    assert header.scalars == {"epoch": 3, "best": 0.5}
    for length in (200, 70_000):
        assert support.read_bytes(tmp_path, pickle.dumps(value, protocol=protocol)[:length]).state == "truncated"


@pytest.mark.parametrize("protocol", [2, 4])
def test_numpy_arrays_in_a_bare_pickle(tmp_path: Path, protocol: int) -> None:
    """Detectron2's model zoo is such a pickle (``detectron2/checkpoint/detection_checkpoint.py``)."""
    numpy = pytest.importorskip("numpy")
    model = {"conv.weight": numpy.zeros((4, 3, 2), numpy.float32), "bn.running_var": numpy.ones(4, numpy.float64)}
    content = pickle.dumps({"model": model, "__author__": "x"}, protocol=protocol)
    header = support.read_bytes(tmp_path, content, "x.pkl")
    assert header.tensors == (
        TensorInfo("conv.weight", (4, 3, 2), "float32"),
        TensorInfo("bn.running_var", (4,), "float64"),
    )
    assert header.weights is not None
    assert (header.weights.num_parameters, header.weights.fingerprint) == (24, None)


@pytest.mark.filterwarnings("ignore:Sparse CSR:UserWarning", "ignore:torch.quantize_per_tensor:UserWarning")
def test_tensors_of_every_rebuild_function(tmp_path: Path) -> None:
    """What ``torch/_weights_only_unpickler.py`` allows (_tensor_rebuild_functions), by torch's own writer."""
    sparse = torch.eye(3).to_sparse()
    state = {
        "coo": sparse,
        "csr": torch.eye(4).to_sparse_csr(),
        "quantized": torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8),
        "meta": torch.empty(5, 6, device="meta"),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "eight": torch.zeros(3).to(torch.float8_e5m2),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    header = support.read_bytes(tmp_path, buffer.getvalue())
    assert header.tensors == (
        TensorInfo("coo", (3, 3), "float32"),
        TensorInfo("csr", (4, 4), "float32"),
        TensorInfo("quantized", (2, 3), "qint8"),
        TensorInfo("meta", (5, 6), "float32"),
        TensorInfo("parameter", (2,), "float32"),
        TensorInfo("eight", (3,), "float8_e5m2"),
    )


def test_a_fake_tensor_and_one_from_numpy(tmp_path: Path) -> None:
    dtype = name_ref("torch", "float16")
    wrapper = name_ref("torch._utils", "_rebuild_wrapper_subclass")
    wrapper += (
        b"("
        + name_ref("torch._subclasses.fake_tensor", "FakeTensor")
        + dtype
        + b"K\x02K\x03\x86K\x03K\x01\x86K\x00NN\x89tR"
    )
    nested = (
        name_ref("torch._utils", "_rebuild_nested_tensor") + b"(" + tensor_opcodes("0", shape=(4,), numel=4) + b"NNNtR"
    )
    content = support.torch_zip(pickled(mapping(a=wrapper, b=nested)), storages={"0": bytes(16)})
    assert support.read_bytes(tmp_path, content).tensors == (
        TensorInfo("a", (2, 3), "float16"),
        TensorInfo("b", (4,), "float32"),
    )
