"""``sidecar write``: what the catalog knows, written down beside the files, is all that the next catalog needs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from catalogdb import Catalog, load_metadata
from catalogdb.demo import lay_out
from catalogdb.records import FIELD_NAMES, Checkpoint, sidecar_path
from tests.e2e.cli.harness import Demo, Run
from tests.e2e.cli.saved import lightning, plain
from tests.unit.formats.test_folders import trainer_folder

torch = pytest.importorskip("torch")

CONFIG = """\
exp_name: {name}
model:
  architecture_name: craft
  encoder: {{model_name: resnet50}}
trainer: {{max_epochs: 9}}
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,000 checkpoints in 50 folders, without sidecars: of Lightning, by two metrics and as links, and bare ones."""
    root = tmp_path_factory.mktemp("thousand") / "outputs"
    for number in range(50):
        folder = root / f"run_{number}" / "checkpoints"
        folder.mkdir(parents=True)
        (root / f"run_{number}" / "config.yaml").write_text(CONFIG.format(name=f"e{number}"), encoding="utf-8")
        kind = number % 3
        for epoch in range(19):
            if kind == 2:
                plain(folder, epoch)
            else:
                lightning(folder, epoch, **({} if kind else {"monitor": "val/loss", "mode": "min"}))
        last = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        (folder / f"last{last.suffix}").symlink_to(last.name)
    return root


def rows_of(root: Path, database: Path) -> dict[str, Checkpoint]:
    with Catalog.open(database) as catalog:
        catalog.scan(root)
        return {row.path: row for row in catalog.search("", max_results=None)}


def own(row: Checkpoint) -> dict[str, object]:
    """All that is known of the very file, by its name in the provenance."""
    known = {name: getattr(row, name) for name in FIELD_NAMES}
    known |= {f"metrics.{name}": value for name, value in row.metrics.items()}
    known |= {f"params.{name}": value for name, value in row.params.items()}
    return {name: known[name] for name, origin in row.provenance.items() if origin["scope"] == "checkpoint"}


def test_a_catalog_from_nothing_knows_the_same_by_the_sidecars_alone(tree: Path, tmp_path: Path, run: Run) -> None:
    first = rows_of(tree, tmp_path / "first.db")
    assert len(first) == 1000
    assert {row.source for row in first.values()} == {"legacy"}

    listed = run("sidecar", "write", "--db", str(tmp_path / "first.db"), "--format", "path")
    assert listed.lines == sorted(first)
    assert listed.err == "1000 to write; --yes writes them\n"
    assert not list(tree.rglob("*.yaml")) or {path.name for path in tree.rglob("*.yaml")} == {"config.yaml"}

    written = run("sidecar", "write", "--yes", "--db", str(tmp_path / "first.db"), "--format", "path")
    assert (written.code, written.lines, written.err) == (0, sorted(first), "1000 written\n")

    with Catalog.open(tmp_path / "second.db") as catalog:
        report = catalog.scan(tree)
        assert (report.total, report.yaml, report.problems) == (1000, 1000, ())
        second = {row.path: row for row in catalog.search("", max_results=None)}
    for path, row in first.items():
        assert own(second[path]) == own(row)
        assert row.exp_name == second[path].exp_name
        assert row.backbone == second[path].backbone == "resnet50"
        assert row.provenance["backbone"]["scope"] == second[path].provenance["backbone"]["scope"] == "run"
        metadata = load_metadata(path)
        assert metadata is not None, "it is V1"
        assert metadata.model.encoder.model_name == "unknown", "what is only known of the run isn't in it"
        assert metadata.metrics.hmean == row.hmean

    again = run("sidecar", "write", "--yes", "--db", str(tmp_path / "second.db"))
    assert (again.code, again.out, again.err) == (0, "", "1000 have one already\n")


@pytest.fixture
def catalog(tmp_path: Path) -> Any:
    (tmp_path / "runs").mkdir()
    with Catalog.open(tmp_path / "catalog.db") as opened:
        yield opened


def actions(catalog: Catalog, where: str = "", **options: bool) -> dict[str, tuple[str, str | None]]:
    return {Path(each.path).name: (each.action, each.reason) for each in catalog.write_sidecars(where, **options)}


def test_the_demo(tmp_path: Path) -> None:
    """A real training's files, of which four have sidecars: those stay, byte for byte."""
    outputs = lay_out(tmp_path)
    before = {path: path.read_bytes() for path in outputs.rglob("*.metadata.yaml")}
    first = rows_of(outputs, tmp_path / "first.db")
    with Catalog.open(tmp_path / "first.db") as catalog:
        done = [each.action for each in catalog.write_sidecars()]
    assert (done.count("written"), done.count("kept")) == (16, 4)
    assert before == {path: path.read_bytes() for path in before}
    second = rows_of(outputs, tmp_path / "second.db")
    assert {path: own(row) for path, row in second.items()} == {path: own(row) for path, row in first.items()}
    assert {row.source for row in second.values()} == {"yaml"}
    assert not any(row.problems for row in second.values())


def test_a_sidecar_that_is_there_stays_but_for_force(catalog: Catalog, tmp_path: Path) -> None:
    path = lightning(tmp_path / "runs", 1)
    sidecar = Path(sidecar_path(str(path)))
    sidecar.write_text("training: {epoch: 7", encoding="utf-8")
    catalog.scan(tmp_path / "runs")
    assert actions(catalog) == {path.name: ("kept", None)}
    assert sidecar.read_text(encoding="utf-8") == "training: {epoch: 7"
    assert actions(catalog, dry_run=True, force=True) == {path.name: ("replace", None)}
    assert actions(catalog, force=True) == {path.name: ("replaced", None)}
    metadata = load_metadata(path)
    assert metadata is not None
    assert metadata.training.epoch == 1


def test_replacing_a_whole_sidecar_loses_nothing_of_it(catalog: Catalog, tmp_path: Path) -> None:
    outputs = lay_out(tmp_path)
    catalog.scan(outputs)
    before = {path: load_metadata(path) for path in outputs.rglob("*.ckpt")}
    rows = {row.path: own(row) for row in catalog.search("")}
    assert sum(action == "replaced" for action, _ in actions(catalog, "source = 'yaml'", force=True).values()) > 0
    for path, metadata in before.items():
        now = load_metadata(path)
        if metadata is not None and now is not None:
            for part in ("training", "model", "metrics", "checkpointing", "exp_name", "created_at"):
                assert getattr(now, part) == getattr(metadata, part)
    catalog.scan(outputs)
    assert {row.path: own(row) for row in catalog.search("")} == rows


def test_a_file_that_has_changed_gets_no_sidecar_of_what_it_was(catalog: Catalog, tmp_path: Path) -> None:
    for epoch in (1, 2):
        lightning(tmp_path / "runs", epoch)
    catalog.scan(tmp_path / "runs")
    shutil.copy(tmp_path / "runs/epoch=2-step=30.ckpt", tmp_path / "runs/epoch=1-step=20.ckpt")
    (tmp_path / "runs/epoch=2-step=30.ckpt").unlink()
    assert actions(catalog) == {
        "epoch=1-step=20.ckpt": ("skipped", "it has changed since the last scan; scan first"),
        "epoch=2-step=30.ckpt": ("skipped", "it is no longer there"),
    }
    assert not list(tmp_path.rglob("*.yaml"))


@pytest.mark.parametrize("there", [None, "training: {epoch: 7}"])
def test_a_file_that_changes_meanwhile(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str | None
) -> None:
    path = lightning(tmp_path / "runs", 1)
    sidecar = Path(sidecar_path(str(path)))
    if there is not None:
        sidecar.write_text(there, encoding="utf-8")
    catalog.scan(tmp_path / "runs")
    sync = os.fsync

    def and_a_save(descriptor: int) -> None:
        sync(descriptor)
        path.write_bytes(b"the next one")

    monkeypatch.setattr(os, "fsync", and_a_save)
    assert actions(catalog, force=True)[path.name][0] == "skipped"
    assert {file.name for file in (tmp_path / "runs").iterdir()} - {sidecar.name} == {path.name}
    assert (sidecar.read_text(encoding="utf-8") if sidecar.exists() else None) == there


def test_what_gets_none(catalog: Catalog, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    torch.save({"w": torch.zeros(2)}, runs / "weights.pt")
    (runs / "cut.ckpt").write_bytes(lightning(runs, 0).read_bytes()[:-50])
    os.utime(runs / "cut.ckpt", (0, 0))
    for suffix in ("ckpt", "pt"):
        shutil.copy(runs / "epoch=0-step=10.ckpt", runs / f"twin.{suffix}")
    catalog.scan(runs)
    found = actions(catalog)
    assert found.pop("epoch=0-step=10.ckpt") == ("written", None)
    assert found == {
        "weights.pt": ("skipped", "nothing is known of it but what holds for its run as a whole"),
        "cut.ckpt": ("skipped", "it is truncated"),
        "twin.ckpt": ("skipped", "twin.pt would have the same sidecar; rename one of them"),
        "twin.pt": ("skipped", "twin.ckpt would have the same sidecar; rename one of them"),
    }


def test_a_folder_that_is_one_checkpoint(catalog: Catalog, tmp_path: Path) -> None:
    folder = trainer_folder(tmp_path / "runs")
    catalog.scan(tmp_path / "runs")
    (before,) = catalog.search("")
    assert actions(catalog) == {folder.name: ("written", None)}
    catalog.scan(tmp_path / "runs")
    (after,) = catalog.search("")
    assert after.source == "yaml"
    assert own(after) == own(before)


def test_a_folder_that_may_not_be_written(tmp_path: Path, run: Run) -> None:
    lightning(tmp_path, 1)
    database = str(tmp_path / "home" / "c.db")
    assert run("scan", str(tmp_path), "--db", database).code == 0
    sidecar = tmp_path / "epoch=1-step=20.metadata.yaml"
    sidecar.mkdir()
    ended = run("sidecar", "write", "--yes", "--force", "--db", database, "--format", "json")
    assert ended.code == 3
    assert "can't be written: Is a directory" in ended.out
    assert [path.name for path in tmp_path.glob(".catalogdb-*")] == []


def test_no_match(catalog: Catalog, tmp_path: Path, run: Run) -> None:
    assert run("sidecar", "write", "epoch > 7", "--db", str(tmp_path / "catalog.db")).code == 1


def test_what_could_not_be_written_is_counted(
    home: Path, run: Run, demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sidecar's name may be too long where its checkpoint's isn't."""
    monkeypatch.setenv("CATALOGDB_URL", str(home / "own.db"))
    (home / "out").mkdir()
    source = next(demo.outputs.rglob("*.ckpt"))
    shutil.copy(source, home / "out" / f"{'x' * 245}.ckpt")
    assert run("scan", "out").code == 0
    ended = run("sidecar", "write", "--yes")
    assert ended.code == 3
    assert ended.err.splitlines()[-1] == "catalogdb: error: 1 could not be written; none was"
    shutil.copy(source, home / "out" / "y.ckpt")
    assert run("scan", "out").code == 0
    ended = run("sidecar", "write", "--yes")
    assert ended.err.splitlines()[-1] == "catalogdb: error: 1 could not be written; the others are"
