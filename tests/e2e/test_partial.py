"""A look at the paths that changed leaves the rows that a scan of everything leaves."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from catalogdb import Catalog
from catalogdb.errors import RootError, UsageError
from catalogdb.records import Checkpoint, Progress
from catalogdb.settings import Settings
from tests.e2e.test_truth import PATIENT, SHAPES, check_equal, empty_catalog, opened, scan, tag_new_rows, tags_of
from tests.e2e.tree_changes import change
from tests.e2e.tree_files import checkpoint_bytes
from tests.e2e.tree_truth import check, check_tags
from tests.e2e.trees import Tree
from tests.unit.formats.test_folders import trainer_folder

__all__ = ["empty_catalog"]

Stamps = dict[str, tuple[int, ...]]


def stamps(root: Path) -> Stamps:
    """Every file and folder, by what an event could be about."""
    found: Stamps = {}
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = f"{folder}/{name}"
            status = os.lstat(path)
            own = (status.st_ino,) if name in names else (status.st_ino, status.st_size, status.st_mtime_ns)
            found[path] = own
    return found


def differing(before: Stamps, after: Stamps) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def rows_of(database: Path) -> list[Checkpoint]:
    with opened(database) as catalog:
        return catalog.search("state IS NOT NULL", max_results=None)


@settings(PATIENT, max_examples=40)
@given(**SHAPES, rounds=st.lists(st.integers(1, 10), min_size=1, max_size=3), pieces=st.integers(1, 4))
def test_the_paths_that_changed_are_enough(
    empty_catalog: Path, seed: int, runs: int, saves: int, rounds: list[int], pieces: int
) -> None:
    """In any order, in several looks: events come as they like."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        database = folder / "catalog.db"
        shutil.copy(empty_catalog, database)
        tree = Tree(folder, seed)
        tree.build(runs=runs, saves=saves)
        check(tree, scan(tree, database)[1], full=False)
        for number, count in enumerate(rounds):
            tag_new_rows(tree, database)
            before = stamps(tree.root)
            note(f"round {number}: {', '.join(change(tree, count))}")
            paths = differing(before, stamps(tree.root))
            rng.shuffle(paths)
            with opened(database) as catalog:
                for piece in range(pieces):
                    catalog.ingest(*paths[piece::pieces], use_wandb=False)
            rows = rows_of(database)
            check(tree, rows, full=False)
            check_tags(tree, tags_of(database))
            other = folder / f"afresh-{number}.db"
            shutil.copy(empty_catalog, other)
            check_equal(rows, scan(tree, other)[1])


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path, 23)
    tree.build(runs=1, saves=1)
    return tree


def content_of(tree: Tree) -> bytes:
    return checkpoint_bytes(next(entry.content for entry in tree.entries.values() if entry.content is not None))


def assert_as_afresh(catalog: Catalog, root: Path) -> list[Checkpoint]:
    rows = [row for row in catalog.search("state IS NOT NULL", max_results=None) if row.root == str(root)]
    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as other:
        other.scan(root, use_wandb=False)
        check_equal(rows, other.search("state IS NOT NULL", max_results=None))
    return rows


@pytest.fixture
def root(tmp_path: Path, tree: Tree) -> Path:
    """Links of every kind between four folders."""
    data = content_of(tree)
    root = tmp_path / "linked"
    for name in ("a", "b", "c", "d"):
        (root / name).mkdir(parents=True)
    (root / "b" / "epoch=1.ckpt").write_bytes(data)
    os.link(root / "b" / "epoch=1.ckpt", root / "c" / "kept.ckpt")
    os.link(root / "b" / "epoch=1.ckpt", root / "d" / "other.ckpt")
    (root / "a" / "soft.ckpt").symlink_to("../d/target.ckpt")
    (root / "a" / "softer.ckpt").symlink_to("soft.ckpt")
    (root / "d" / "target.ckpt").write_bytes(data + b" ")
    return root


def test_links_elsewhere_follow_their_targets(tree: Tree, root: Path) -> None:
    data = content_of(tree)
    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as catalog:
        catalog.scan(root, use_wandb=False)

        def look(*paths: str) -> dict[str, Checkpoint]:
            catalog.ingest(*(root / path for path in paths), use_wandb=False)
            return {row.rel_path: row for row in assert_as_afresh(catalog, root)}

        os.link(root / "c" / "kept.ckpt", root / "a" / "first.ckpt")
        rows = look("a/first.ckpt")
        assert rows["b/epoch=1.ckpt"].link_target == rows["d/other.ckpt"].link_target == str(root / "a/first.ckpt")
        (root / "a" / "first.ckpt").unlink()
        rows = look("a/first.ckpt")
        assert rows["d/other.ckpt"].link_target == str(root / "b/epoch=1.ckpt")
        (root / "d" / "target.ckpt").write_bytes(data[:-9])
        assert look("d/target.ckpt")["a/softer.ckpt"].size_bytes == len(data) - 9
        (root / "e").mkdir()
        (root / "d" / "target.ckpt").rename(root / "e" / "target.ckpt")
        rows = look("e", "d/target.ckpt")
        assert rows["a/soft.ckpt"].state == "missing"
        (root / "a" / "soft.ckpt").unlink()
        (root / "a" / "soft.ckpt").symlink_to("../e/target.ckpt")
        assert look("a/soft.ckpt")["a/softer.ckpt"].link_target == str(root / "e/target.ckpt")
        (root / "e").rename(root / "f")
        assert look("e", "f")["a/softer.ckpt"].state == "missing"
        shutil.rmtree(root / "b")
        assert look("b")["d/other.ckpt"].link_target == str(root / "c/kept.ckpt")


def test_links_that_lead_nowhere_follow_their_targets(tree: Tree, root: Path) -> None:
    """Those whose target went, and those that never had one."""
    data = content_of(tree)
    target = root / "d" / "target.ckpt"
    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as catalog:
        catalog.scan(root, use_wandb=False)

        def look(*paths: str) -> dict[str, Checkpoint]:
            catalog.ingest(*(root / path for path in paths), use_wandb=False)
            return {row.rel_path: row for row in assert_as_afresh(catalog, root)}

        target.unlink()
        assert look("d/target.ckpt")["a/soft.ckpt"].state == "missing"
        target.write_bytes(data)
        assert look("d/target.ckpt")["a/softer.ckpt"].state == "ready"
        (root / "c" / "early.ckpt").symlink_to("../e/late.ckpt")
        assert "c/early.ckpt" not in look("c/early.ckpt")
        (root / "e").mkdir()
        assert "c/early.ckpt" not in look("e")
        (root / "e" / "late.ckpt").write_bytes(data)
        assert look("e/late.ckpt")["c/early.ckpt"].link_target == str(root / "e" / "late.ckpt")
        (root / "e").rename(root / "f")
        assert look("e", "f")["c/early.ckpt"].state == "missing"
        (root / "f").rename(root / "e")
        assert look("e", "f")["c/early.ckpt"].state == "ready"


@pytest.mark.parametrize("known", [True, False])
def test_a_link_whose_target_goes_while_it_is_looked_at(tree: Tree, root: Path, known: bool) -> None:
    data = content_of(tree)
    target, link = root / "d" / "target.ckpt", root / "a" / "soft.ckpt"
    if not known:
        link.unlink()
    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as catalog:
        catalog.scan(root, use_wandb=False)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with catalog.ingesting(use_wandb=False, on_progress=lambda _: target.unlink(missing_ok=True)) as ingest:
            ingest.rescan_paths([str(link)])
        target.write_bytes(data)
        catalog.ingest(target, use_wandb=False)
        assert {row.rel_path: row.state for row in assert_as_afresh(catalog, root)}["a/soft.ckpt"] == "ready"


@pytest.mark.parametrize("name", [".hydra/config.yaml", "config.yaml", "metrics.csv", "last.metadata.yaml"])
def test_a_document_that_is_away_while_it_is_read(tree: Tree, tmp_path: Path, name: str) -> None:
    """It comes back as it was, so that nothing but the row's own mark says that there is more to be read."""
    root = tmp_path / "run"
    (root / ".hydra").mkdir(parents=True)
    (root / "last.ckpt").write_bytes(content_of(tree))
    document, aside = root / name, tmp_path / "aside"
    document.write_text("step,loss\n1,0.5\n" if name.endswith(".csv") else "exp_name: by a document\n", "utf-8")

    def hide(_: Progress) -> None:
        if document.exists():
            document.rename(aside)

    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as catalog:
        hiding: list[Callable[[Progress], None]] = [hide]
        with catalog.ingesting(use_wandb=False, on_progress=lambda at: hiding[0](at)) as ingest:
            ingest.scan([str(root)])
            assert aside.exists()
            hiding[0] = lambda _: None
            aside.rename(document)
            ingest.scan([str(root)])
            assert_as_afresh(catalog, root)
            assert ingest.scan([str(root)]).unchanged == 1


def test_a_link_to_a_folder_makes_it_look_at_everything(tmp_path: Path, root: Path) -> None:
    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as catalog:
        catalog.scan(root, use_wandb=False)
        outside = tmp_path / "outside"
        (root / "b").rename(outside)
        (root / "b").symlink_to(outside)
        catalog.ingest(root / "b", use_wandb=False)
        rows = assert_as_afresh(catalog, root)
        assert {row.rel_path: row.state for row in rows}["b/epoch=1.ckpt"] == "ready"
        (root / "g").mkdir()
        (root / "b").rename(root / "g" / "b")
        catalog.ingest(root / "b", root / "g", use_wandb=False)
        assert_as_afresh(catalog, root)


def test_a_look_that_becomes_one_at_everything_counts_each_row_once(tmp_path: Path, tree: Tree) -> None:
    """A sidecar changes its row, and a link to that row's file lies where only a whole scan comes by."""
    root, outside = tmp_path / "runs", tmp_path / "outside"
    for folder in (root / "a", root / "b", outside):
        folder.mkdir(parents=True)
    (root / "a" / "x.ckpt").write_bytes(content_of(tree))
    (root / "b" / "z.ckpt").write_bytes(content_of(tree))
    (root / "a" / "nothing.ckpt").symlink_to("nowhere.ckpt")
    (outside / "y.ckpt").symlink_to(root / "a" / "x.ckpt")
    (root / "elsewhere").symlink_to(outside)
    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as catalog:
        catalog.scan(root, use_wandb=False)
        sidecar = root / "a" / "x.metadata.yaml"
        sidecar.write_text("exp_name: other\n", encoding="utf-8")
        report = catalog.ingest(sidecar, use_wandb=False)
        assert (report.total, report.new, report.updated, report.unchanged) == (3, 0, 1, 2)
        assert [problem.path for problem in report.problems] == [str(sidecar), str(root / "a" / "nothing.ckpt")]
        assert len(assert_as_afresh(catalog, root)) == 3


def test_problems_of_other_folders_stay(root: Path) -> None:
    (root / "a" / "nothing.ckpt").symlink_to("nowhere.ckpt")
    (root / "b" / "nothing.ckpt").symlink_to("nowhere.ckpt")
    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as catalog:
        catalog.scan(root, use_wandb=False)

        def problems() -> list[str]:
            return [problem.partition(": ")[0] for each in catalog.status().roots for problem in each.problems]

        assert problems() == [str(root / "a/nothing.ckpt"), str(root / "b/nothing.ckpt")]
        (root / "a" / "nothing.ckpt").unlink()
        catalog.ingest(root / "a" / "nothing.ckpt", root / "c", use_wandb=False)
        assert problems() == [str(root / "b/nothing.ckpt")]


def test_paths_that_no_scan_has_seen(tmp_path: Path, root: Path) -> None:
    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as catalog:
        with pytest.raises(UsageError, match="scan that first"):
            catalog.ingest(root / "a")
        catalog.scan(root, use_wandb=False)
        root.rename(tmp_path / "gone")
        with pytest.raises(RootError, match="no such folder"):
            catalog.ingest(root / "a")
        assert catalog.count() == 6, "what can't be looked at isn't missing"


def test_a_path_that_is_no_utf8(root: Path) -> None:
    path = root / "a" / os.fsdecode(b"\xff.ckpt")
    path.write_bytes(b"")
    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as catalog:
        catalog.scan(root, use_wandb=False)
        with pytest.raises(UsageError, match="isn't UTF-8"):
            catalog.ingest(path)


def test_folders_that_are_one_checkpoint(tmp_path: Path, tree: Tree) -> None:
    """A part that changes, a part's folder, the sidecar beside the folder, a link to it; until it's one no more."""
    root = tmp_path / "runs"
    folder = trainer_folder(root / "a")
    (folder / "global_step500").mkdir()
    (folder / "global_step500" / "mp_rank_00_model_states.pt").write_bytes(content_of(tree))
    (root / "b").mkdir()
    (root / "b" / "linked").symlink_to("../a/checkpoint-500")
    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as catalog:
        catalog.scan(root, use_wandb=False)

        def look(*paths: str) -> dict[str, Checkpoint]:
            catalog.ingest(*(root / path for path in paths), use_wandb=False)
            return {row.rel_path: row for row in assert_as_afresh(catalog, root)}

        sizes = {path: row.size_bytes for path, row in look("a").items()}
        assert sizes.keys() == {"a/checkpoint-500", "b/linked"}
        part = folder / "global_step500" / "mp_rank_00_model_states.pt"
        part.write_bytes(part.read_bytes() + b" ")
        rows = look("a/checkpoint-500/global_step500/mp_rank_00_model_states.pt")
        assert {path: row.size_bytes - 1 for path, row in rows.items()} == sizes
        (root / "a" / "checkpoint-500.metadata.yaml").write_text("exp_name: beside\n")
        assert look("a/checkpoint-500.metadata.yaml")["a/checkpoint-500"].exp_name == "beside"
        for name in [each.name for each in folder.iterdir() if each.name.endswith(".json")]:
            (folder / name).unlink()
        rows = look("a/checkpoint-500/trainer_state.json")
        assert rows["b/linked"].state == "missing" or rows["b/linked"].state == rows["a/checkpoint-500"].state
        folder.rename(root / "a" / "other")
        look("a/checkpoint-500", "a/other")
