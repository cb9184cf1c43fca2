"""The demo's tree: laid out whole and safely, scanned without torch, and true by its own training logs."""

from __future__ import annotations

import csv
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalogdb.demo import ARCHIVE, lay_out, unpack
from catalogdb.errors import CatalogError, UsageError

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKPOINTS = 20

WITHOUT_TORCH = """
import importlib.abc, json, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "lightning", "pytorch_lightning", "wandb", "numpy", "pandas"}:
            raise ImportError(name + " is not to be imported")

sys.meta_path.insert(0, Refuse())
from pathlib import Path
from catalogdb import Catalog
from catalogdb.demo import lay_out

outputs = lay_out(Path(sys.argv[1]))
with Catalog.open("sqlite:///" + sys.argv[2]) as catalog:
    report = catalog.scan(outputs)
    best = catalog.best("val/hmean")
    rows = catalog.search("", max_results=None)
print(json.dumps({
    "report": report.to_dict(), "best": best.to_dict(), "rows": [row.to_dict() for row in rows],
}))
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Report, best row and all rows, from a process in which torch can't be imported."""
    folder = tmp_path_factory.mktemp("scanned")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CATALOGDB_", "WANDB_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(folder / "demo"), str(folder / "catalog.db")],
        env={**kept, "HOME": str(folder), "PYTHONPATH": str(REPOSITORY), "CATALOGDB_OFFLINE": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def logged(run: Path) -> dict[int, dict[str, float]]:
    """The validation rows of a run's metrics.csv by the global step of the checkpoint that was saved after each.

    Lightning logs at the number of batches done, less one.
    """
    found: dict[int, dict[str, float]] = {}
    with (run / "csv" / "version_0" / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            values = {name: float(value) for name, value in row.items() if name.startswith("val/") and value}
            if values:
                found[int(row["step"]) + 1] = values
    return found


def test_a_scan_without_torch_finds_the_best(scanned: dict[str, Any]) -> None:
    rows, best = scanned["rows"], scanned["best"]
    assert len(rows) == scanned["report"]["total"] == CHECKPOINTS
    assert {row["state"] for row in rows} == {"ready"}
    assert scanned["report"]["problems"] == []
    scores = {}
    for row in rows:
        run = Path(row["path"]).parents[1]
        scores[row["path"]] = logged(run)[row["global_step"]]["val/hmean"]
    highest = max(scores.values())
    assert best["path"] in {path for path, score in scores.items() if score == highest}
    assert best["metrics"]["val/hmean"] == pytest.approx(highest, rel=1e-6)


def test_every_metric_of_a_row_is_the_one_logged_at_its_step(scanned: dict[str, Any]) -> None:
    told = 0
    for row in scanned["rows"]:
        values = logged(Path(row["path"]).parents[1])[row["global_step"]]
        for name, value in row["metrics"].items():
            if name in values:
                assert value == pytest.approx(values[name], rel=1e-6), (row["path"], name)
                told += 1
        assert row["monitor"] in values
        assert row["epoch"] == row["global_step"] // 10 - 1
    assert told > CHECKPOINTS


def test_each_experiment_is_known_by_what_it_left(scanned: dict[str, Any]) -> None:
    by_run: dict[str, set[tuple[object, ...]]] = {}
    for row in scanned["rows"]:
        name = Path(row["path"]).parents[1].name
        facts = (row["architecture"], row["backbone"], row["monitor"], row["monitor_mode"], row["source"])
        by_run.setdefault(name, set()).add(facts)
    assert by_run == {
        "dbnet-resnet18": {("dbnet", "resnet18", "val/hmean", "max", "yaml")},
        "dbnet-mobilenetv3_small_050": {("dbnet", "mobilenetv3_small_050", "val/hmean", "max", "wandb")},
        "craft-resnet18": {("craft", "resnet18", "val/loss", "min", "wandb")},
        "pan-resnet18": {("pan", "resnet18", "val/loss", "min", "wandb")},
        "run_042": {("pan", "mobilenetv3_small_050", "val/hmean", "max", "wandb")},
    }


def test_sidecars_say_what_was_logged(outputs: Path) -> None:
    sidecars = sorted(outputs.rglob("*.metadata.yaml"))
    assert len(sidecars) == 4
    for path in sidecars:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        values = logged(path.parents[1])[document["training"]["global_step"]]
        for name, value in values.items():
            assert document["metrics"]["additional_metrics"][name] == pytest.approx(value, rel=1e-6)
        assert document["metrics"]["hmean"] == pytest.approx(values["val/hmean"], rel=1e-6)


def test_the_tree_is_whole_and_small(outputs: Path) -> None:
    files = [path for path in outputs.rglob("*") if path.is_file() and not path.is_symlink()]
    checkpoints = sorted(outputs.rglob("*.ckpt"))
    assert len(checkpoints) == CHECKPOINTS
    assert [path.name for path in checkpoints if path.is_symlink()] == ["last.ckpt"]
    assert all(path.exists() for path in outputs.rglob("*")), "a link leads nowhere"
    assert sum(path.stat().st_size for path in files) < 1_200_000
    assert len(archive()) < 1_500_000


def test_nothing_in_it_tells_of_the_machine_that_trained() -> None:
    content = lzma.decompress(archive())
    folders = [b"/%b/" % name for name in (b"root", b"home", b"tmp", b"work", b"Users")]
    for trace in (*folders, b"site-packages"):
        assert trace not in content
    with tarfile.open(fileobj=io.BytesIO(archive()), mode="r:xz") as tar:
        assert {(member.uid, member.gid, member.uname, member.gname) for member in tar} == {(0, 0, "", "")}


def test_times_are_kept(outputs: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive()), mode="r:xz") as tar:
        times = {member.name.partition("/")[2]: member.mtime for member in tar}
    behind = {round(times[name] - (outputs / name).lstat().st_mtime, 3) for name in times}
    assert len(behind) == 1


def test_no_file_is_from_the_future(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long_ago = time.time() - 20 * 365 * 86400
    monkeypatch.setattr(time, "time", lambda: long_ago)
    found = lay_out(tmp_path)
    assert all(path.lstat().st_mtime < long_ago for path in found.rglob("*"))


def test_lay_out_makes_what_is_missing(tmp_path: Path) -> None:
    assert lay_out(tmp_path / "a" / "b") == tmp_path / "a" / "b" / "outputs"
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["outputs"]


def test_lay_out_uses_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    assert any(lay_out(tmp_path).iterdir())


def test_lay_out_leaves_what_is_there_alone(tmp_path: Path) -> None:
    mine = tmp_path / "outputs" / "mine.ckpt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UsageError, match="exists and isn't empty"):
        lay_out(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["outputs", "mine.ckpt"]


@pytest.mark.parametrize("kind", ["file", "link", "parent"])
def test_lay_out_refuses_what_is_no_folder(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "place" / "outputs"
    if kind == "parent":
        target.parent.write_text("a file")
    else:
        target.parent.mkdir()
        if kind == "file":
            target.write_text("a file")
        else:
            target.symlink_to(tmp_path)
    with pytest.raises(UsageError):
        lay_out(target.parent)


def test_lay_out_says_in_a_line_that_it_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("catalogdb.demo.shutil.copyfileobj", full)
    with pytest.raises(CatalogError, match="No space left on device") as caught:
        lay_out(tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def member(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


HOSTILE = {
    "parent": [member("../evil")],
    "absolute": [member("/evil")],
    "inner parent": [member("outputs/../../evil")],
    "link out": [member("outputs/link", kind=tarfile.SYMTYPE, link="../../evil")],
    "absolute link": [member("outputs/link", kind=tarfile.SYMTYPE, link="/evil")],
    "through a link": [member("outputs/link", kind=tarfile.SYMTYPE, link="."), member("outputs/link/evil")],
    "over a link": [member("outputs/link", kind=tarfile.SYMTYPE, link="evil"), member("outputs/link")],
    "hard link": [member("outputs/link", kind=tarfile.LNKTYPE, link="outputs/evil")],
    "pipe": [member("outputs/pipe", kind=tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_an_archive_stays_in_its_folder(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO())
    folder = tmp_path / "folder"
    with pytest.raises(CatalogError, match="refused"):
        unpack(buffer.getvalue(), folder)
    assert [path.name for path in tmp_path.rglob("*") if "evil" in path.name or path.name == "pipe"] == []


def test_a_damaged_archive_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="damaged"):
        unpack(archive()[:-100_000], tmp_path)
    with pytest.raises(CatalogError, match="damaged"):
        unpack(b"not an archive", tmp_path)


def archive() -> bytes:
    return resources.files("catalogdb.demo").joinpath(ARCHIVE).read_bytes()
