"""What the catalog knows before a scan: roots that never overlap, and rows that follow their files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from catalogdb.discovery import Walk, fingerprint
from catalogdb.records import Candidate, Origin, Resolution, Value, Weights
from catalogdb.store.engine import make_engine, parse_url
from catalogdb.store.known import KnownRows
from catalogdb.store.migrate import open_schema
from catalogdb.store.moves import follow_moves
from catalogdb.store.roots import Root, Roots
from catalogdb.store.writer import Writer


class World:
    """A catalog in memory and a tree on disk; rows are written as a scan would, without reading the files."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self.connection = connection
        self.roots = Roots(connection)
        self.known = KnownRows(connection, self.roots)
        self.folder = folder

    def put(self, *paths: str, content: str = "") -> None:
        for path in paths:
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content or path)

    def walk(self, below: str = "") -> list[Candidate]:
        return list(Walk(str(self.folder), below=below))

    def scan(self, root: str | None = None) -> Root:
        """All candidates of a root become rows; those gone become missing."""
        found = self.roots.find_or_make(root or str(self.folder))
        candidates = list(Walk(found.path, below=found.below))
        rows = self.known.rows(found)
        follow_moves(self.connection, found, [each for each in candidates if self._is_new(rows, each)])
        writer = Writer(self.connection)
        if candidates:
            resolved = [(Resolution(each, "ready", "torch_zip", "legacy"), fingerprint(each)) for each in candidates]
            writer.upsert(found.id, resolved, {})
        names = {each.rel_path for each in candidates}
        writer.mark_missing({row.id: None for path, row in self.known.rows(found).items() if path not in names})
        return found

    @staticmethod
    def _is_new(rows: object, candidate: Candidate) -> bool:
        return not isinstance(rows, dict) or getattr(rows.get(candidate.rel_path), "fingerprint", None) != fingerprint(
            candidate
        )

    def tag(self, **tags: str) -> None:
        """``name="path"``: one tag for a row."""
        for key, path in tags.items():
            self.execute("INSERT INTO tags SELECT id, ?, NULL, '' FROM checkpoints WHERE rel_path = ?", key, path)

    def tags(self) -> dict[str, set[str]]:
        rows = self.execute("SELECT rel_path, key FROM tags JOIN checkpoints ON id = checkpoint_id")
        found: dict[str, set[str]] = {}
        for path, key in rows:
            found.setdefault(path, set()).add(key)
        return found

    def states(self) -> dict[str, str]:
        return {path: state for path, state in self.execute("SELECT rel_path, state FROM checkpoints")}

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        result = self.connection.exec_driver_sql(statement, values)
        return [tuple(row) for row in result] if result.returns_rows else []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    engine = make_engine(parse_url(f"sqlite:///{tmp_path}/catalog.db"))
    open_schema(engine)
    folder = tmp_path / "outputs"
    folder.mkdir()
    with engine.connect() as connection:
        yield World(connection, folder)
    engine.dispose()


# -- moves -----------------------------------------------------------------------------------------------------------


def test_a_row_follows_its_file_with_all_that_hangs_on_it(world: World) -> None:
    world.put("a/x.ckpt")
    root = world.scan()
    world.tag(mine="a/x.ckpt")
    (row_id,) = world.execute("SELECT id FROM checkpoints")[0]
    world.execute("INSERT INTO aliases VALUES ('champion', ?, '')", row_id)
    world.execute("INSERT INTO notes VALUES (?, 'good', '')", row_id)
    (world.folder / "b").mkdir()
    (world.folder / "a/x.ckpt").rename(world.folder / "b/y.ckpt")
    assert follow_moves(world.connection, root, world.walk()) == {"b/y.ckpt": row_id}
    assert world.tags() == {"b/y.ckpt": {"mine"}}
    assert world.execute("SELECT checkpoint_id FROM aliases") == [(row_id,)]
    assert world.execute("SELECT recheck FROM checkpoints") == [(1,)]


def test_a_copy_is_no_move(world: World) -> None:
    world.put("x.ckpt")
    root = world.scan()
    (world.folder / "y.ckpt").write_bytes((world.folder / "x.ckpt").read_bytes())
    status = (world.folder / "x.ckpt").stat()
    os.utime(world.folder / "y.ckpt", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert follow_moves(world.connection, root, world.walk()) == {}


@pytest.mark.parametrize("change", ["size", "mtime"])
def test_a_reused_inode_is_another_file(world: World, change: str) -> None:
    world.put("x.ckpt")
    root = world.scan()
    (world.folder / "x.ckpt").rename(world.folder / "y.ckpt")
    if change == "size":
        status = (world.folder / "y.ckpt").stat()
        world.put("y.ckpt", content="longer than before")
        os.utime(world.folder / "y.ckpt", ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        os.utime(world.folder / "y.ckpt", ns=(1, 1))
    assert follow_moves(world.connection, root, world.walk()) == {}


def test_two_files_that_take_each_other_s_names(world: World) -> None:
    world.put("x.ckpt", "y.ckpt")
    world.scan()
    world.tag(was_x="x.ckpt", was_y="y.ckpt")
    (world.folder / "x.ckpt").rename(world.folder / "aside")
    (world.folder / "y.ckpt").rename(world.folder / "x.ckpt")
    (world.folder / "aside").rename(world.folder / "y.ckpt")
    world.scan()
    assert world.tags() == {"x.ckpt": {"was_y"}, "y.ckpt": {"was_x"}}


def test_a_ring_of_three(world: World) -> None:
    world.put("1.ckpt", "2.ckpt", "3.ckpt")
    world.scan()
    world.tag(one="1.ckpt", two="2.ckpt", three="3.ckpt")
    (world.folder / "3.ckpt").rename(world.folder / "aside")
    (world.folder / "2.ckpt").rename(world.folder / "3.ckpt")
    (world.folder / "1.ckpt").rename(world.folder / "2.ckpt")
    (world.folder / "aside").rename(world.folder / "1.ckpt")
    world.scan()
    assert world.tags() == {"2.ckpt": {"one"}, "3.ckpt": {"two"}, "1.ckpt": {"three"}}


def test_last_becomes_prev_and_a_new_last_is_a_new_row(world: World) -> None:
    world.put("last.ckpt")
    world.scan()
    world.tag(old="last.ckpt")
    (world.folder / "last.ckpt").rename(world.folder / "prev.ckpt")
    world.put("last.ckpt", content="new")
    world.scan()
    assert world.tags() == {"prev.ckpt": {"old"}}
    assert world.states() == {"prev.ckpt": "ready", "last.ckpt": "ready"}


def test_a_file_moved_over_another_takes_that_one_s_tags_notes_and_aliases(world: World) -> None:
    world.put("best.ckpt", "epoch=3.ckpt")
    world.scan()
    world.tag(best="best.ckpt", third="epoch=3.ckpt")
    ids = dict(world.execute("SELECT rel_path, id FROM checkpoints"))
    for number, row_id in enumerate(ids.values()):
        world.execute("INSERT INTO notes VALUES (?, ?, '')", row_id, f"note {number}")
    world.execute("INSERT INTO aliases VALUES ('champion', ?, '')", ids["best.ckpt"])
    (world.folder / "epoch=3.ckpt").rename(world.folder / "best.ckpt")
    world.scan()
    assert world.tags() == {"best.ckpt": {"best", "third"}}
    assert world.execute("SELECT checkpoint_id FROM aliases") == [(ids["epoch=3.ckpt"],)]
    ((note,),) = world.execute("SELECT text FROM notes")
    assert sorted(note.split("\n")) == ["note 0", "note 1"]


def test_a_file_that_was_missing_is_known_again_elsewhere(world: World, tmp_path: Path) -> None:
    world.put("x.ckpt")
    world.scan()
    world.tag(mine="x.ckpt")
    (world.folder / "x.ckpt").rename(tmp_path / "aside")
    world.scan()
    assert world.states() == {"x.ckpt": "missing"}
    (tmp_path / "aside").rename(world.folder / "y.ckpt")
    world.scan()
    assert world.tags() == {"y.ckpt": {"mine"}}
    assert world.states() == {"y.ckpt": "ready"}


def test_hard_links_that_move_together_each_keep_their_row(world: World) -> None:
    world.put("run/epoch=3.ckpt")
    os.link(world.folder / "run/epoch=3.ckpt", world.folder / "run/last.ckpt")
    world.scan()
    world.tag(three="run/epoch=3.ckpt", last="run/last.ckpt")
    (world.folder / "run").rename(world.folder / "done")
    world.scan()
    assert world.tags() == {"done/epoch=3.ckpt": {"three"}, "done/last.ckpt": {"last"}}


def test_a_hard_link_that_goes_leaves_its_tags_on_its_own_row(world: World) -> None:
    world.put("epoch=3.ckpt")
    os.link(world.folder / "epoch=3.ckpt", world.folder / "last.ckpt")
    world.scan()
    world.tag(three="epoch=3.ckpt", last="last.ckpt")
    (world.folder / "epoch=3.ckpt").unlink()
    world.scan()
    assert world.tags() == {"epoch=3.ckpt": {"three"}, "last.ckpt": {"last"}}
    assert world.states() == {"epoch=3.ckpt": "missing", "last.ckpt": "ready"}


def test_of_hard_links_the_one_that_was_there_last_is_the_one_that_moved(world: World) -> None:
    world.put("a.ckpt")
    os.link(world.folder / "a.ckpt", world.folder / "b.ckpt")
    world.scan()
    world.tag(a="a.ckpt", b="b.ckpt")
    (world.folder / "a.ckpt").unlink()
    world.scan()
    (world.folder / "b.ckpt").rename(world.folder / "c.ckpt")
    world.scan()
    assert world.tags() == {"a.ckpt": {"a"}, "c.ckpt": {"b"}}


def test_a_second_link_to_a_known_file_is_a_new_row(world: World) -> None:
    world.put("a.ckpt")
    world.scan()
    world.tag(a="a.ckpt")
    os.link(world.folder / "a.ckpt", world.folder / "b.ckpt")
    world.scan()
    assert world.tags() == {"a.ckpt": {"a"}}
    assert world.states() == {"a.ckpt": "ready", "b.ckpt": "ready"}


def test_a_row_moves_from_one_root_into_another(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "run").mkdir(parents=True)
    (other / "run/x.ckpt").write_text("x")
    world.scan(str(other))
    world.tag(mine="run/x.ckpt")
    (other / "run/x.ckpt").rename(world.folder / "y.ckpt")
    world.scan()
    assert world.tags() == {"y.ckpt": {"mine"}}
    assert world.execute("SELECT path FROM checkpoints c JOIN roots r ON r.id = root_id") == [(str(world.folder),)]


# -- roots -----------------------------------------------------------------------------------------------------------


def roots(world: World) -> list[str]:
    return sorted(path for (path,) in world.execute("SELECT path FROM roots"))


def test_a_root_is_made_once(world: World) -> None:
    assert world.roots.find_or_make("/data") == world.roots.find_or_make("/data")
    assert roots(world) == ["/data"]


def test_a_folder_in_a_root_is_a_part_of_it(world: World) -> None:
    whole = world.roots.find_or_make("/data")
    assert world.roots.find_or_make("/data/a/b") == Root(whole.id, "/data", "a/b")
    assert roots(world) == ["/data"]


def test_a_root_whose_name_only_begins_the_same_is_another(world: World) -> None:
    world.roots.find_or_make("/data")
    assert world.roots.find_or_make("/data2").below == ""
    assert roots(world) == ["/data", "/data2"]


def test_the_root_of_everything(world: World) -> None:
    whole = world.roots.find_or_make("/")
    assert world.roots.find_or_make("/data/a") == Root(whole.id, "/", "data/a")


def test_rows_of_a_part_are_those_below_it(world: World) -> None:
    world.put("a/x.ckpt", "a/b/y.ckpt", "a-b/z.ckpt", "a0/w.ckpt", "a.ckpt")
    world.scan()
    part = world.roots.find_or_make(str(world.folder / "a"))
    assert sorted(world.known.rows(part)) == ["a/b/y.ckpt", "a/x.ckpt"]


def test_a_folder_above_known_roots_takes_their_rows_over(world: World) -> None:
    world.put("a/x.ckpt", "b/c/y.ckpt", "z.ckpt")
    os.link(world.folder / "a/x.ckpt", world.folder / "a/last.ckpt")
    world.scan(str(world.folder / "a"))
    world.scan(str(world.folder / "b/c"))
    world.tag(x="x.ckpt", y="y.ckpt")
    ids = sorted(world.execute("SELECT id FROM checkpoints"))
    root = world.roots.find_or_make(str(world.folder))
    assert roots(world) == [str(world.folder)]
    assert sorted(world.known.rows(root)) == ["a/last.ckpt", "a/x.ckpt", "b/c/y.ckpt"]
    assert world.tags() == {"a/x.ckpt": {"x"}, "b/c/y.ckpt": {"y"}}
    assert sorted(world.execute("SELECT id FROM checkpoints")) == ids
    (target,) = world.execute("SELECT link_target FROM checkpoints WHERE link_target IS NOT NULL")[0]
    assert target == "a/x.ckpt"


def test_after_a_takeover_nothing_has_changed(world: World) -> None:
    """Fingerprints are of absolute paths: the files needn't be read again."""
    world.put("a/x.ckpt")
    world.scan(str(world.folder / "a"))
    rows = world.known.rows(world.roots.find_or_make(str(world.folder)))
    (candidate,) = world.walk()
    assert rows["a/x.ckpt"].fingerprint == fingerprint(candidate)


def test_a_takeover_where_the_new_root_knows_the_file_already(world: World) -> None:
    """Paths of two roots can meet only through a takeover: none is lost, none is double."""
    world.put("a/x.ckpt")
    world.scan(str(world.folder / "a"))
    world.scan(str(world.folder))
    world.scan(str(world.folder / "a"))
    assert world.states() == {"a/x.ckpt": "ready"}


def test_said_before_is_about_the_same_content_only(world: World) -> None:
    world.put("x.ckpt")
    root = world.scan()
    (candidate,) = world.walk()
    yaml = Origin("yaml", "sidecar", "", "k", "checkpoint")
    fields = {"epoch": Value(0, yaml), "head": Value("h", Origin("legacy", "config", "c", "k", "run"))}
    metrics = {"m": Value(0.0, yaml), "nan": Value(float("nan"), yaml)}
    resolution = Resolution(candidate, "ready", None, "yaml", fields, metrics, weights=Weights(1, 1, {}))
    Writer(world.connection).upsert(root.id, [(resolution, 1)], {})
    ((row_id,),) = world.execute("SELECT id FROM checkpoints")
    found = world.known.said_before(int(row_id), candidate.stamp, "yaml")
    assert found is not None
    assert found.fields == {"epoch": fields["epoch"]}
    assert found.metrics["m"] == metrics["m"]
    assert found.metrics["nan"].value != found.metrics["nan"].value
    assert world.known.said_before(int(row_id), candidate.stamp, "wandb") is None
    for changed in (candidate.stamp._replace(size=9), candidate.stamp._replace(mtime_ns=9)):
        assert world.known.said_before(int(row_id), changed, "yaml") is None
    assert world.known.said_before(999, candidate.stamp, "yaml") is None
