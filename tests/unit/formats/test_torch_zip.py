"""Files that torch.save wrote, and zips that lie."""

from __future__ import annotations

import argparse
import io
import os
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from catalogdb.formats import read_header
from catalogdb.records import CheckpointHeader, TensorInfo
from tests.unit.formats import support

torch = pytest.importorskip("torch")


def save(folder: Path, value: object, name: str = "x.pt", **options: Any) -> str:
    path = folder / name
    torch.save(value, path, **options)
    return str(path)


def model() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 2).half())


def check_model(header: CheckpointHeader, net: Any) -> None:
    state = net.state_dict()
    assert header.tensors == tuple(
        TensorInfo(name, tuple(value.shape), str(value.dtype).removeprefix("torch.")) for name, value in state.items()
    )
    assert header.weights is not None
    assert header.weights.num_tensors == len(state)
    assert header.weights.num_parameters == sum(parameter.numel() for parameter in net.parameters())
    assert header.weights.dtypes == {"float32": 8 * 3 * 9 + 8 + 8 + 8, "float16": 18}
    assert header.weights.fingerprint is not None


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_plain_checkpoint(tmp_path: Path, key: str) -> None:
    net = model()
    header = read_header(save(tmp_path, {"epoch": 3, "global_step": 40, "step": 7, key: net.state_dict()}))
    assert (header.format, header.state, header.reason, header.framework) == ("torch_zip", "ready", None, None)
    assert (header.epoch, header.global_step) == (3, 40)
    check_model(header, net)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_bare_state_dict_in_any_protocol(tmp_path: Path, protocol: int) -> None:
    net = model()
    check_model(read_header(save(tmp_path, net.state_dict(), pickle_protocol=protocol)), net)


def test_deflated(tmp_path: Path) -> None:
    net = model()
    with zipfile.ZipFile(save(tmp_path, net.state_dict())) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    check_model(read_header(str(tmp_path / "small.pt")), net)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 0), (-1, None), (True, None), (3.5, None), ("3", None), (None, None), (2**70, None)]
)
def test_epochs_are_counts(tmp_path: Path, epoch: object, expected: int | None) -> None:
    header = read_header(save(tmp_path, {"epoch": epoch, "global_step": epoch}))
    assert (header.epoch, header.global_step, header.weights) == (expected, expected, None)


def test_a_whole_module_is_read_as_its_state_dict(tmp_path: Path) -> None:
    net = model()
    net.register_buffer("scratch", torch.zeros(3), persistent=False)
    check_model(read_header(save(tmp_path, net)), net)
    wrapped = read_header(save(tmp_path, {"epoch": 1, "model": torch.nn.DataParallel(net)}))
    assert (wrapped.weights_prefix, len(wrapped.tensors)) == ("module.", len(net.state_dict()))


def test_tied_weights_are_counted_once(tmp_path: Path) -> None:
    shared = torch.ones(4, 5)
    header = read_header(save(tmp_path, OrderedDict(a=shared, b=shared, c=shared[:2], d=torch.zeros(2))))
    assert header.weights is not None
    assert (header.weights.num_tensors, header.weights.num_parameters) == (4, 20 + 10 + 2)


def test_twins_are_known_and_others_are_not(tmp_path: Path) -> None:
    net = model()
    last = read_header(save(tmp_path, {"epoch": 9, "state_dict": net.state_dict()}, "last.ckpt"))
    best = read_header(save(tmp_path, {"state_dict": net.state_dict(), "optimizer": [1]}, "best.ckpt"))
    with torch.no_grad():
        net[0].bias += 1
    other = read_header(save(tmp_path, {"state_dict": net.state_dict()}, "other.ckpt"))
    assert last.weights is not None
    assert best.weights is not None
    assert other.weights is not None
    assert last.weights.fingerprint == best.weights.fingerprint != other.weights.fingerprint


def test_without_checksums_there_is_no_fingerprint(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        header = read_header(save(tmp_path, model().state_dict()))
    finally:
        torch.serialization.set_crc32_options(True)
    assert header.state == "ready"
    assert header.weights is not None
    assert header.weights.fingerprint is None


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"]
)
def test_numbers_in_tensors(tmp_path: Path, dtype: str) -> None:
    value = torch.tensor(3, dtype=getattr(torch, dtype))
    metrics = {"precision": value, "recall": torch.tensor(float("nan")), "hmean": torch.tensor([0.5])}
    header = read_header(save(tmp_path, {"cleval_metrics": metrics, "hyper_parameters": {"n": value}}))
    assert header.metrics["cleval/precision"] == 3.0
    assert header.metrics["cleval/recall"] != header.metrics["cleval/recall"]
    assert header.metrics["cleval/hmean"] == 0.5
    assert header.hyper_parameters == {"n": 3}


def test_numbers_in_large_storages_are_not_read(tmp_path: Path) -> None:
    losses = torch.zeros(1000)
    header = read_header(save(tmp_path, {"cleval_metrics": {"precision": losses[3], "recall": 1, "hmean": "x"}}))
    assert header.metrics == {"cleval/recall": 1.0}


@pytest.mark.parametrize(("dtype", "code"), [("FloatStorage", "f"), ("LongStorage", "q"), ("HalfStorage", "e")])
def test_big_endian_numbers(tmp_path: Path, dtype: str, code: str) -> None:
    score = support.mapping(precision=support.tensor_opcodes("0", storage=dtype))
    data = support.pickled(support.mapping(cleval_metrics=score))
    content = support.torch_zip(data, storages={"0": struct.pack(f">{code}", 7)}, byteorder=b"big")
    assert support.read_bytes(tmp_path, content).metrics == {"cleval/precision": 7.0}


def test_big_endian_bfloat16(tmp_path: Path) -> None:
    score = support.mapping(precision=support.tensor_opcodes("0", storage="BFloat16Storage"))
    data = support.pickled(support.mapping(cleval_metrics=score))
    content = support.torch_zip(data, storages={"0": b"\x40\x40"}, byteorder=b"big")
    assert support.read_bytes(tmp_path, content).metrics == {"cleval/precision": 3.0}


def test_hyper_parameters_are_flattened(tmp_path: Path) -> None:
    params = {
        "lr": 1e-3,
        "name": "dbnet",
        "nothing": None,
        "flag": True,
        "optimizer": {"betas": (0.9, 0.999), "deep": {"k": 1}},
        "sizes": list(range(32)),
        "many": list(range(33)),
        "mixed": [1, {}],
        "args": argparse.Namespace(width=2),
        "path": Path("/data/set"),
        "function": print,
        "cls": torch.nn.ReLU,
        "object": torch.nn.ReLU(),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "scale": torch.tensor(0.5),
        "table": torch.zeros(9),
        "long": "x" * 5000,
        "seed": 2**64 - 1,
        3: "three",
        "lr.": "a",
    }
    found = read_header(save(tmp_path, {"hyper_parameters": params})).hyper_parameters
    sizes = {f"sizes.{i}": i for i in range(32)}
    assert found == sizes | {
        "function": "builtins.print",
        "cls": "torch.nn.modules.activation.ReLU",
        "object": "torch.nn.modules.activation.ReLU",
        "lr": 1e-3,
        "name": "dbnet",
        "nothing": None,
        "flag": True,
        "optimizer.betas.0": 0.9,
        "optimizer.betas.1": 0.999,
        "optimizer.deep.k": 1,
        "args.width": 2,
        "path": "/data/set",
        "dtype": "torch.float16",
        "device": "cpu",
        "scale": 0.5,
        "seed": str(2**64 - 1),
        "3": "three",
        "lr.": "a",
    }


@pytest.mark.parametrize("protocol", [2, 4])
def test_cut_anywhere_is_truncated(tmp_path: Path, protocol: int) -> None:
    path = Path(save(tmp_path, {"epoch": 1, "state_dict": model().state_dict()}, pickle_protocol=protocol))
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        header = support.read_bytes(tmp_path, content[:length])
        assert header.state == "truncated", length
        assert header.reason


def test_a_cut_large_file_is_truncated(tmp_path: Path) -> None:
    path = Path(save(tmp_path, {"w": torch.randn(200_000)}))
    content = path.read_bytes()
    for length in (600, 70_000, 400_000, len(content) - 1):
        assert support.read_bytes(tmp_path, content[:length]).state == "truncated"


def test_a_directory_beyond_the_end_is_truncated(tmp_path: Path) -> None:
    content = bytearray(support.torch_zip(b"\x80\x02}."))
    struct.pack_into("<I", content, len(content) - 6, len(content) + 1000)
    assert support.read_bytes(tmp_path, bytes(content)).state == "truncated"


def test_a_cut_pickle_in_a_whole_zip_is_unreadable(tmp_path: Path) -> None:
    header = support.read_bytes(tmp_path, support.torch_zip(b"\x80\x02}q\x00(X\x05\x00\x00\x00ep"))
    assert (header.format, header.state) == ("torch_zip", "unreadable")
    assert header.reason


def test_zip64(tmp_path: Path) -> None:
    """Sizes, places and counts in zip64 fields, as miniz writes them beyond 4 GB or 65,535 entries."""
    data = support.pickled(support.mapping(epoch=b"K\x05"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in (("m/data.pkl", data), ("m/version", b"3\n")):
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                entry.write(content)
    archived = bytearray(buffer.getvalue())
    end_at = archived.rfind(b"PK\x05\x06")
    count, size, start = struct.unpack_from("<HII", archived, end_at + 10)
    first = struct.unpack_from("<II", archived, start + 20)
    extra = struct.pack("<HHQQQ", 1, 24, first[1], first[0], 0)
    struct.pack_into("<IIHH", archived, start + 20, 0xFFFFFFFF, 0xFFFFFFFF, len("m/data.pkl"), len(extra))
    struct.pack_into("<I", archived, start + 42, 0xFFFFFFFF)
    directory = archived[start : start + 46 + 10] + extra + archived[start + 46 + 10 : start + size]
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + len(directory), 1)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    whole = bytes(archived[:start] + directory + record + locator + end)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.read("m/data.pkl") == data
    header = support.read_bytes(tmp_path, whole)
    assert (header.state, header.reason, header.epoch) == ("ready", None, 5)


def test_a_comment_behind_the_end_record(tmp_path: Path) -> None:
    buffer = io.BytesIO(support.torch_zip(b"\x80\x02}."))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"c" * 0xFFFF
    header = support.read_bytes(tmp_path, buffer.getvalue())
    assert (header.format, header.reason) == ("torch_zip", "a mapping without a tensor in it")


PICKLE = support.pickled(support.mapping(epoch=b"K\x01"))


def lying(*, at: int, value: bytes) -> bytes:
    """A torch zip whose first directory record (data.pkl) has other bytes at an offset."""
    content = bytearray(support.torch_zip(PICKLE))
    start = struct.unpack_from("<I", content, len(content) - 6)[0]
    content[start + at : start + at + len(value)] = value
    return bytes(content)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_zips_that_lie_are_unreadable(tmp_path: Path) -> None:
    overlap = bytearray(support.torch_zip(PICKLE))
    start = struct.unpack_from("<I", overlap, len(overlap) - 6)[0]
    second = start + 46 + len("archive/data.pkl")
    struct.pack_into("<I", overlap, second + 42, 10)
    reaching = bytearray(support.torch_zip(PICKLE))
    struct.pack_into("<II", reaching, reaching.rfind(b"PK\x01\x02") + 20, 1 << 30, 1 << 30)
    tensor = support.pickled(support.mapping(w=support.tensor_opcodes(shape=(9,))))
    cases = {
        "two entries of one name": support.torch_zip(PICKLE, more={"archive/data.pkl": b""}),
        "two data.pkl": support.torch_zip(PICKLE, more={"other/data.pkl": b"", "other/version": b""}),
        "'archive/../x'": support.torch_zip(PICKLE, more={"archive/../x": b""}),
        "outside its folder": support.torch_zip(PICKLE, more={"elsewhere": b""}),
        "overlap": bytes(overlap),
        "size of a stored entry": lying(at=24, value=struct.pack("<I", 1 << 30)),
        "reach into": bytes(reaching),
        "checksum": lying(at=16, value=b"\x01\x02\x03\x04"),
        "encrypted": lying(at=8, value=b"\x01\x00"),
        "method 99": lying(at=10, value=b"\x63\x00"),
        "inflated": lying(at=10, value=b"\x08\x00"),
        "damaged": lying(at=0, value=b"XX"),
        "the header of 'data.pkl' differ": support.torch_zip(PICKLE).replace(
            b"archive/data.pkl", b"archive/data.pkL", 1
        ),
        "is missing": support.torch_zip(tensor),
        "larger than its storage": support.torch_zip(tensor, storages={"0": b"\x00" * 35}),
    }
    for reason, content in cases.items():
        header = support.read_bytes(tmp_path, content)
        assert header.state == "unreadable", reason
        assert header.reason is not None
        assert reason in header.reason


def test_a_deflate_bomb_is_refused(tmp_path: Path) -> None:
    bomb = support.torch_zip(b"\x00" * 70_000_000, compression=zipfile.ZIP_DEFLATED)
    header = support.read_bytes(tmp_path, bomb)
    assert header.state == "unreadable"
    lying_size = bytearray(bomb)
    start = struct.unpack_from("<I", lying_size, len(lying_size) - 6)[0]
    struct.pack_into("<I", lying_size, start + 24, 100)
    header = support.read_bytes(tmp_path, bytes(lying_size))
    assert header.reason == "'data.pkl' inflates to another size than the zip says"


def test_a_directory_of_a_million_entries_is_not_read(tmp_path: Path) -> None:
    content = support.torch_zip(PICKLE)
    end64 = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**6, 10**6, 46 * 10**6, 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(content), 1)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    header = support.read_bytes(tmp_path, content + end64 + locator + end)
    assert (header.state, header.reason) == (
        "unreadable",
        "zip of 1000000 entries, more than limits_zip_entries allows (200000)",
    )


def test_little_is_read_of_a_large_file(tmp_path: Path) -> None:
    path = save(tmp_path, {"state_dict": {f"layer.{i}": torch.zeros(20_000) for i in range(100)}})
    header = read_header(path)
    assert header.weights is not None
    assert header.weights.num_parameters == 2_000_000
    assert header.bytes_read < 100_000


@pytest.mark.parametrize("content", [b"", b"?", b"PK\x03\x04", support.torch_zip(PICKLE), support.torch_zip(b"x")])
def test_the_descriptor_is_closed(tmp_path: Path, content: bytes) -> None:
    before = set(os.listdir("/dev/fd"))  # noqa: PTH208
    support.read_bytes(tmp_path, content)
    assert set(os.listdir("/dev/fd")) == before  # noqa: PTH208
