"""Each limit can be set, takes effect, and is named where it is passed."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from catalogdb.formats import Limits, read_header
from catalogdb.formats.deep import read_deep
from tests.fuzz.seeds import STORAGES, distributed_metadata, lightning_pickle, whole_files
from tests.unit.formats import support
from tests.unit.formats.support import mapping, pickled

FILES = whole_files()
SMALL = support.torch_zip(lightning_pickle(), storages=STORAGES)
DEFLATED = support.torch_zip(lightning_pickle(), storages=STORAGES, compression=zipfile.ZIP_DEFLATED)
LONG = pickle.dumps({"epoch": 1, "note": "n" * 2000}, protocol=4)
BYTES = pickle.dumps({"raw": b"b" * 200}, protocol=4)
INDEX = b'{"weight_map": {"a": "b"}}'
SEEDS = {protocol: pickle.dumps({"seed": 2**2000, "other": 2**200}, protocol=protocol) for protocol in (0, 2)}
LISTS = {str(number): [number] for number in range(300)}
SLOW = pickle.dumps({"epoch": 1, "seen": [*range(200_000)]}, protocol=2)

BREACHES: list[tuple[str, float, bytes]] = [
    ("pickle_bytes", 100, SMALL),
    ("pickle_bytes", 1000, LONG),
    ("pickle_opcodes", 20, SMALL),
    ("pickle_rare_opcodes", 1, FILES["pickle_0"]),
    ("pickle_depth", 2, SMALL),
    ("pickle_memo_index", 280, pickle.dumps(LISTS, protocol=2)),
    ("pickle_memo_index", 280, pickle.dumps(LISTS, protocol=4)),
    ("pickle_memo_index", 2, FILES["pickle_0"]),
    ("pickle_memo_index", 300, support.torch_zip(support.training_pickle(20))),
    ("pickle_containers", 100, pickle.dumps(LISTS, protocol=2)),
    ("pickle_text", 10, SMALL),
    ("pickle_string", 1000, LONG),
    ("pickle_string", 100, BYTES),
    ("pickle_string", 8, SMALL),
    ("pickle_integer", 20, SEEDS[2]),
    ("pickle_integer", 20, SEEDS[0]),
    ("tensors", 1, FILES["torch_legacy"]),
    ("tensors", 1, SMALL),
    ("tensors", 50, support.torch_zip(support.training_pickle(40))),
    ("tensors", 1, FILES["torch_tar"].replace(b"K\x01.", b"K\x02.")),
    ("zip_entries", 3, SMALL),
    ("zip_directory_bytes", 99, SMALL),
    ("inflated_bytes", 100, DEFLATED),
    ("tar_members", 1, FILES["nemo"]),
    ("safetensors_header", 9, FILES["safetensors"]),
    ("index_bytes", 9, INDEX),
    ("file_seconds", 1e-9, SLOW),
]


def limits_of(name: str, bound: float) -> Limits:
    given: dict[str, Any] = {name: bound}
    return replace(Limits(), **given)


@pytest.mark.parametrize(("name", "bound", "content"), BREACHES)
def test_a_limit_that_is_passed_is_the_reason(name: str, bound: float, content: bytes) -> None:
    header = read_header(io.BytesIO(content), limits=limits_of(name, bound))
    assert header.state == "unreadable"
    assert f"than limits_{name} allows ({bound})" in str(header.reason)
    assert "limits_" not in str(read_header(io.BytesIO(content)).reason)


def write_index(folder: Path, shards: int) -> Path:
    names = [f"model-{number}.safetensors" for number in range(shards)]
    for number, name in enumerate(names):
        entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
        (folder / name).write_bytes(support.safetensors({f"w{number}": entry}, bytes(8)))
    path = folder / "model.safetensors.index.json"
    weight_map = {f"w{number}": name for number, name in enumerate(names)}
    path.write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "bound"), [("folder_seconds", 1e-9), ("tensors", 2)])
def test_the_files_of_an_index_have_limits_together(tmp_path: Path, name: str, bound: float) -> None:
    path = str(write_index(tmp_path, 3))
    assert read_header(path).state == "ready"
    assert f"than limits_{name} allows" in str(read_header(path, limits=limits_of(name, bound)).reason)


@pytest.mark.parametrize(("name", "bound"), [("pickle_opcodes", 9), ("tensors", 0)])
def test_the_metadata_of_a_distributed_checkpoint_has_limits(tmp_path: Path, name: str, bound: float) -> None:
    (tmp_path / ".metadata").write_bytes(distributed_metadata())
    (tmp_path / "__0_0.distcp").write_bytes(bytes(64))
    assert read_header(str(tmp_path)).state == "ready"
    assert f"than limits_{name} allows" in str(read_header(str(tmp_path), limits=limits_of(name, bound)).reason)


def test_reading_the_payloads_has_the_same_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(SMALL)
    assert read_deep(str(path)).state == "ready"
    assert "than limits_zip_entries allows" in str(read_deep(str(path), limits=Limits(zip_entries=3)).reason)


def test_a_limit_can_be_raised() -> None:
    deep = support.torch_zip(pickled(mapping(epoch=b"K\x01", a=b"(" * 5000 + b"t" * 5000)))
    assert "limits_pickle_depth" in str(read_header(io.BytesIO(deep)).reason)
    assert read_header(io.BytesIO(deep), limits=Limits(pickle_depth=6000)).state == "ready"
    seed = pickle.dumps({"epoch": 1, "seed": 2**9000}, protocol=2)
    assert "limits_pickle_integer" in str(read_header(io.BytesIO(seed)).reason)
    assert read_header(io.BytesIO(seed), limits=Limits(pickle_integer=2000)).state == "ready"
    far = support.torch_zip(pickled(mapping(epoch=b"K\x01r" + (2**20 + 5).to_bytes(4, "little"))))
    assert "pickle memo index 1048581, higher than limits_pickle_memo_index" in str(read_header(io.BytesIO(far)).reason)
    assert read_header(io.BytesIO(far), limits=Limits(pickle_memo_index=2**21)).state == "ready"


def test_each_limit_is_tested() -> None:
    assert {name for name, _, _ in BREACHES} | {"folder_seconds"} == {limit.name for limit in fields(Limits)}


@pytest.mark.parametrize("name", FILES)
def test_the_defaults_are_wide(name: str) -> None:
    assert read_header(io.BytesIO(FILES[name])).state == "ready"
