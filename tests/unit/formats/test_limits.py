"""Each bound can be set, and says what passed it."""

from __future__ import annotations

import io
import pickle

import pytest

from catalogdb.formats import Limits, read_header
from tests.fuzz.seeds import STORAGES, lightning_pickle, whole_files
from tests.unit.formats import support

FILES = whole_files()
SMALL = support.torch_zip(lightning_pickle(), storages=STORAGES)
LONG = pickle.dumps({"epoch": 1, "note": "n" * 2000}, protocol=4)
INDEX = b'{"weight_map": {"a": "b"}}'


@pytest.mark.parametrize(
    ("content", "limits", "reason"),
    [
        (SMALL, Limits(pickle_bytes=100), "bytes, more than 100"),
        (LONG, Limits(pickle_bytes=1000), "pickle of more than 1000 bytes"),
        (SMALL, Limits(pickle_opcodes=20), "more than 20 pickle opcodes"),
        (SMALL, Limits(pickle_text=10), "too much text"),
        (SMALL, Limits(pickle_depth=2), "nested too deep"),
        (FILES["torch_legacy"], Limits(tensors=1), "more than 1 storages"),
        (SMALL, Limits(zip_entries=3), "zip of 5 entries"),
        (SMALL, Limits(zip_directory_bytes=99), "zip directory of"),
        (FILES["nemo"], Limits(tar_members=1), "tar of more than 1 members"),
        (FILES["safetensors"], Limits(safetensors_header=9), "safetensors header of"),
        (INDEX, Limits(index_bytes=9), "index of 26 bytes"),
    ],
)
def test_a_bound_that_is_passed_is_the_reason(content: bytes, limits: Limits, reason: str) -> None:
    header = read_header(io.BytesIO(content), limits=limits)
    assert header.state == "unreadable"
    assert reason in str(header.reason)


@pytest.mark.parametrize("name", FILES)
def test_the_defaults_are_wide(name: str) -> None:
    assert read_header(io.BytesIO(FILES[name])).state == "ready"
