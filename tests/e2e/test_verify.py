"""``verify`` and ``diff`` on real files: what is wrong on disk, whatever the catalog says."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.errors import NotFound, QueryError
from catalogdb.records import Difference
from tests.unit.formats.test_folders import trainer_folder

torch = pytest.importorskip("torch")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    (tmp_path / "runs").mkdir()
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.db") as opened:
        yield opened


def save(path: Path, epoch: int, *, weights: float | None = None) -> Path:
    value = epoch if weights is None else weights
    state = {"w": torch.full((64, 64), float(value)), "b": torch.full((4,), float(value))}
    torch.save({"epoch": epoch, "global_step": epoch * 10, "state_dict": state, "optimizer": {"lr": 0.1}}, path)
    return path


def make_old(path: Path) -> None:
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))


def faults(catalog: Catalog, where: str = "", *, deep: bool = False) -> dict[str, tuple[str, str]]:
    found = list(catalog.verify(where, deep=deep))
    assert len({fault.path for fault in found}) == len(found)
    return {Path(fault.path).name: (fault.kind, fault.reason) for fault in found}


def flip(path: Path, content: bytes) -> None:
    """One bit of a payload, the file's size and time as they were."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    at = data.index(content)
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_nothing_wrong(tmp_path: Path, catalog: Catalog) -> None:
    save(tmp_path / "runs" / "a.ckpt", 1)
    (tmp_path / "runs" / "last.ckpt").symlink_to("a.ckpt")
    os.link(tmp_path / "runs" / "a.ckpt", tmp_path / "runs" / "best.ckpt")
    trainer_folder(tmp_path / "runs")
    catalog.scan(tmp_path / "runs")
    assert faults(catalog) == {}, "links are no duplicates"
    assert faults(catalog, deep=True) == {}


def test_what_the_disk_says_counts(tmp_path: Path, catalog: Catalog) -> None:
    runs = tmp_path / "runs"
    for epoch, name in enumerate(("gone", "cut", "young", "text", "fine")):
        save(runs / f"{name}.ckpt", epoch)
    folder = trainer_folder(runs)
    catalog.scan(runs)
    (runs / "gone.ckpt").unlink()
    for name in ("cut", "young"):
        (runs / f"{name}.ckpt").write_bytes((runs / f"{name}.ckpt").read_bytes()[:-100])
    make_old(runs / "cut.ckpt")
    (runs / "text.ckpt").write_text("no checkpoint")
    make_old(runs / "text.ckpt")
    (folder / "model-00002-of-00002.safetensors").unlink()
    for path in folder.iterdir():
        make_old(path)
    assert faults(catalog) == {
        "gone.ckpt": ("missing", "is no longer on disk"),
        "cut.ckpt": ("truncated", "the zip has no end record"),
        "text.ckpt": ("unreadable", "no known checkpoint format"),
        "checkpoint-500": (
            "truncated",
            "model.safetensors.index.json: the shard 'model-00002-of-00002.safetensors' is missing",
        ),
    }
    assert faults(catalog, "epoch = 4") == {}
    catalog.scan(runs)
    assert faults(catalog, "rel_path = 'gone.ckpt'") == {"gone.ckpt": ("missing", "is no longer on disk")}


def test_twins_by_their_weights_in_every_container(tmp_path: Path, catalog: Catalog) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    runs = tmp_path / "runs"
    save(runs / "a.ckpt", 1, weights=7.0)
    save(runs / "b.ckpt", 2, weights=7.0)
    save(runs / "other.ckpt", 3, weights=8.0)
    safetensors.save_file({"w": torch.full((64, 64), 7.0), "b": torch.full((4,), 7.0)}, runs / "z.safetensors")
    catalog.scan(runs)
    twin = ("duplicate", f"has the weights of {runs}/a.ckpt")
    assert faults(catalog) == {"b.ckpt": twin}
    assert faults(catalog, deep=True) == {"b.ckpt": twin, "z.safetensors": twin}


def test_bits_that_rot(tmp_path: Path, catalog: Catalog) -> None:
    """A zip keeps checksums; of a safetensors file the first ``--deep`` computes what the next one compares with."""
    safetensors = pytest.importorskip("safetensors.torch")
    runs = tmp_path / "runs"
    save(runs / "a.ckpt", 1, weights=7.0)
    safetensors.save_file({"w": torch.full((64, 64), 5.0)}, runs / "x.safetensors")
    catalog.scan(runs)
    assert faults(catalog, deep=True) == {}
    kept = catalog.get(runs / "x.safetensors").weights
    assert kept is not None
    assert kept.fingerprint is not None
    assert catalog.scan(runs).unchanged == 2
    flip(runs / "a.ckpt", torch.full((4,), 7.0).numpy().tobytes())
    flip(runs / "x.safetensors", torch.full((4,), 5.0).numpy().tobytes())
    assert faults(catalog) == {}, "not seen without reading"
    found = faults(catalog, deep=True)
    assert found["x.safetensors"] == ("corrupt", "its weights have changed since they were last verified")
    assert found["a.ckpt"][0] == "corrupt"
    assert "its bytes have changed since they were written" in found["a.ckpt"][1]
    safetensors.save_file({"w": torch.full((64, 64), 6.0)}, runs / "x.safetensors")
    assert "x.safetensors" not in faults(catalog, deep=True), "trained on: another time, other weights"


def test_sidecars_that_drifted(tmp_path: Path, catalog: Catalog) -> None:
    runs = tmp_path / "runs"
    save(runs / "a.ckpt", 1)
    save(runs / "b.ckpt", 2)
    catalog.scan(runs)
    (runs / "b.metadata.yaml").write_text("schema_version: '1.0'\ntraining: {epoch: 9, global_step: 90}\n")
    (runs / "a.metadata.yaml").write_text("{")
    found = [fault for fault in catalog.verify() if fault.kind == "sidecar"]
    assert {Path(fault.path).name for fault in found} == {"a.ckpt", "b.ckpt"}
    assert any("is about global_step 90, but the checkpoint is of global_step 20" in fault.reason for fault in found)


def test_a_catalog_that_may_only_be_read_is_verified_all_the_same(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    runs = tmp_path / "runs"
    safetensors.save_file({"w": torch.ones(4)}, runs / "x.safetensors")
    catalog.scan(runs)
    monkeypatch.setattr("catalogdb.store.catalog_store.may_write", lambda path: False)
    with Catalog.open(tmp_path / "catalog.db") as reading:
        assert faults(reading, deep=True) == {}
        weights = reading.get(runs / "x.safetensors").weights
    assert weights is not None
    assert weights.fingerprint is None


def test_no_match_is_said(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(NotFound, match="scan first"):
        list(catalog.verify())
    save(tmp_path / "runs" / "a.ckpt", 1)
    catalog.scan(tmp_path / "runs")
    with pytest.raises(NotFound, match="no checkpoint matches"):
        list(catalog.verify("epoch = 7 OR epoch = 8"))
    with pytest.raises(QueryError):
        list(catalog.verify("epohc = 7"))


# -- diff ------------------------------------------------------------------------------------------------------------


def test_two_checkpoints_of_a_run(tmp_path: Path, catalog: Catalog) -> None:
    runs = tmp_path / "runs"
    state = {"w": torch.ones(3), "b": torch.zeros(2)}
    torch.save({"epoch": 1, "state_dict": state, "hyper_parameters": {"lr": 0.1, "seed": 1}}, runs / "a.ckpt")
    changed = {"module.w": torch.ones(3), "module.b": torch.ones(2)}
    torch.save({"epoch": 2, "state_dict": changed, "hyper_parameters": {"lr": 0.2, "seed": 1}}, runs / "b.ckpt")
    catalog.scan(runs)
    found = catalog.diff(runs / "a.ckpt", runs / "b.ckpt")
    assert found.tensors == 2
    assert Difference("field", "epoch", 1, 2) in found.differences
    assert Difference("param", "lr", 0.1, 0.2) in found.differences
    assert Difference("weights", "prefix", None, "module.") in found.differences
    assert [each.name for each in found.differences if each.kind == "tensor"] == ["b"]
    assert not any(each.name == "seed" for each in found.differences)


def test_a_container_without_checksums_is_compared_when_it_is_read(tmp_path: Path, catalog: Catalog) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    runs = tmp_path / "runs"
    torch.save({"w": torch.ones(3), "b": torch.zeros(2)}, runs / "a.pt")
    safetensors.save_file({"w": torch.ones(3), "b": torch.ones(2)}, runs / "b.safetensors")
    catalog.scan(runs)
    shallow = catalog.diff(runs / "a.pt", runs / "b.safetensors")
    assert (shallow.unknown, [each for each in shallow.differences if each.kind == "tensor"]) == (2, [])
    deep = catalog.diff(runs / "a.pt", runs / "b.safetensors", deep=True)
    assert (deep.unknown, [each.name for each in deep.differences if each.kind == "tensor"]) == (0, ["b"])
