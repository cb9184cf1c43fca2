from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from catalogdb.formats import read_header
from catalogdb.formats.sniff import LEGACY_MAGIC, sniff
from tests.unit.formats import support


def tar_file() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO())
    return buffer.getvalue()


def zip_file(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (support.torch_zip(b"\x80\x02}."), "zip"),
        (pickle.dumps(support.LEGACY_MAGIC, protocol=2), "torch_legacy"),
        (pickle.dumps(support.LEGACY_MAGIC, protocol=4), "torch_legacy"),
        (pickle.dumps({}, protocol=2), "pickle"),
        (pickle.dumps({"a": "b" * 40}, protocol=5), "pickle"),
        (tar_file(), "tar"),
        (support.safetensors({}), "safetensors"),
        (b"", None),
        (b"\x80", None),
        (b"\x80\x09abc", None),
        (b"\x00" * 1024, None),
        (b"function{ return 1; }", None),
        (b"hello, world", None),
        (pickle.dumps({"a": 1}, protocol=0), "pickle"),
        (pickle.dumps({"a": 1}, protocol=1), "pickle"),
        (b'{"metadata": {"total_size": 1}, "weight_map": {}}', "index"),
        (b'{"model_type": "bert"}', None),
        (b"PK", "zip"),
    ],
)
def test_the_first_bytes_decide(content: bytes, expected: str | None) -> None:
    assert sniff(content[:512]) == expected


def test_the_magic_is_the_one_that_pickle_writes() -> None:
    assert LEGACY_MAGIC in pickle.dumps(support.LEGACY_MAGIC, protocol=2)


@pytest.mark.parametrize(
    ("content", "state", "reason"),
    [
        (b"", "truncated", "empty"),
        (b"no checkpoint at all", "foreign", "no known checkpoint format"),
        (zip_file(readme=b"x"), "foreign", "a zip without data.pkl"),
        (zip_file(a__data=b"x", a__b__data=b"y"), "foreign", "a zip without data.pkl"),
        (
            support.torch_zip(b"\x80\x02}.", more={"archive/constants.pkl": b"", "archive/code/m.py": b""}),
            "foreign",
            "a TorchScript archive",
        ),
        (tar_file(), "foreign", "a tar without torch's pickle"),
        (pickle.dumps([1, 2]), "foreign", "a pickle, but not of a dict"),
        (
            struct.pack("<Q", 2**63) + b"{",
            "unreadable",
            "safetensors header of 9223372036854775808 bytes, more than limits_safetensors_header allows (100000000)",
        ),
    ],
)
def test_what_is_no_checkpoint_says_so(tmp_path: Path, content: bytes, state: str, reason: str) -> None:
    header = support.read_bytes(tmp_path, content)
    assert (header.state, header.reason) == (state, reason)


def test_the_name_has_no_say(tmp_path: Path) -> None:
    content = support.torch_zip(b"\x80\x02}X\x05\x00\x00\x00epochK\x01s.")
    header = support.read_bytes(tmp_path, content, "model.safetensors")
    assert (header.format, header.state) == ("torch_zip", "ready")


def test_what_cannot_be_opened_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_header(str(tmp_path / "absent.ckpt"))
    with pytest.raises(IsADirectoryError):
        read_header(str(tmp_path))


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ckpt")
    header = read_header(str(tmp_path / "pipe.ckpt"))
    assert (header.state, header.reason) == ("foreign", "not a regular file")
