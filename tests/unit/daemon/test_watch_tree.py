"""Watches follow the folders of a real disk, whatever happened before an event is read."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

if sys.platform != "linux":
    pytest.skip("inotify is Linux's", allow_module_level=True)

from watchdog.observers.inotify_c import CallbackId, InotifyFD, Mask, WatchCallback, WatchDescriptor

from catalogdb.daemon.hints import Hints
from catalogdb.daemon.watch_tree import WatchTree, is_wanted


class Interrupted(InotifyFD):
    """Something happens on the disk before a given watch is made."""

    def __init__(self) -> None:
        super().__init__()
        self.countdown = -1
        self.act: Callable[[], None] = lambda: None

    def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
        if self.countdown == 0:
            self.act()
        self.countdown -= 1
        return super().add_callback(path, mask, callback, id_)


class Watched:
    """A tree of watches whose events are read when a test says so."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inotify = Interrupted()  # not started: nobody else reads
        self.hints = Hints(clock=lambda: self.now)
        self.now = 0.0
        self.tree = WatchTree(str(root), self.inotify, self.hints, (".ckpt",))

    def read(self) -> None:
        """All events that are there."""
        poller = self.inotify._poller
        assert poller is not None
        while any(fd == self.inotify._inotify_fd for fd, _ in poller.poll(0)):
            for event in self.inotify.read_events():
                self.inotify.handle_event(event)

    def take(self) -> list[str]:
        """The paths of folders that are to be looked at."""
        self.now += 60.0
        hints, distrusted = self.hints.take()
        folders = [hint.path for hint in hints if not hint.is_file]
        return [*folders, *distrusted]

    def settle(self) -> None:
        """As the worker does, until there is nothing more to be done."""
        self.read()
        while folders := self.take():
            self.tree.renew(folders)
            self.read()

    def close(self) -> None:
        self.inotify._is_reading = False
        self.inotify.close()


@contextmanager
def watched(root: Path) -> Iterator[Watched]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        world = Watched(root)
        try:
            yield world
        finally:
            world.close()


def folders_of(root: Path) -> list[str]:
    found = [str(root)]
    for path, names, _ in os.walk(root):
        names[:] = [name for name in names if is_wanted(name) and not Path(path, name).is_symlink()]
        found += [f"{path}/{name}" for name in names]
    return sorted(found)


def inodes_watched(inotify: InotifyFD) -> list[int]:
    """As the kernel tells them."""
    lines = Path(f"/proc/self/fdinfo/{inotify._inotify_fd}").read_text(encoding="utf-8").splitlines()
    return sorted(int(line.split("ino:")[1].split()[0], 16) for line in lines if line.startswith("inotify "))


def assert_watched(world: Watched) -> None:
    folders = folders_of(world.root)
    assert sorted(world.tree) == folders
    assert inodes_watched(world.inotify) == sorted(Path(folder).stat().st_ino for folder in folders)


def assert_heard(world: Watched) -> None:
    """A file in each folder gives an event under the folder's own name."""
    for folder in folders_of(world.root):
        path = Path(folder, "heard.ckpt")
        path.touch()
        world.read()
        world.now += 60.0
        assert [hint.path for hint in world.hints.take()[0]] == [str(path)]
        path.unlink()
        world.settle()


def test_a_folder_that_is_made_renamed_and_made_again(tmp_path: Path) -> None:
    """watchdog's own tree watches the second under both names."""
    with watched(tmp_path) as world:
        (tmp_path / "a").mkdir()
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "a").mkdir()
        world.settle()
        assert_watched(world)
        assert_heard(world)


def test_folders_that_change_places(tmp_path: Path) -> None:
    (tmp_path / "one" / "two" / "three").mkdir(parents=True)
    with watched(tmp_path) as world:
        (tmp_path / "one" / "two").rename(tmp_path / "two")
        (tmp_path / "one").rename(tmp_path / "two" / "three" / "one")
        (tmp_path / "two").rename(tmp_path / "one")
        world.settle()
        assert_watched(world)
        assert_heard(world)


def test_folders_that_change_places_while_watches_are_made(tmp_path: Path) -> None:
    """What is above is found below: the tree stays one."""
    (tmp_path / "a").mkdir()
    with watched(tmp_path) as world:

        def act() -> None:
            (tmp_path / "a").rename(tmp_path / "b")
            (tmp_path / "a").mkdir()
            (tmp_path / "b").rename(tmp_path / "a" / "b")

        world.inotify.act, world.inotify.countdown = act, 1
        world.tree.renew([str(tmp_path / "a" / "b")])
        world.settle()
        assert_watched(world)
        assert_heard(world)


def test_folders_that_leave_are_watched_no_more(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "one" / "two" / "three").mkdir(parents=True)
    with watched(root) as world:
        (root / "one" / "two").rename(tmp_path / "two")
        shutil.rmtree(root / "one")
        world.settle()
        assert_watched(world)


def test_the_root_is_away_while_a_new_folder_s_event_is_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with watched(root) as world:
        (root / "one").mkdir()
        root.rename(tmp_path / "aside")
        world.settle()
        (tmp_path / "aside").rename(root)
        world.settle()
        assert_watched(world)


def test_what_holds_no_checkpoints_is_not_watched(tmp_path: Path) -> None:
    for name in (".git/objects", "run/.hydra", "run/wandb/run-20251018_143215-abc123de/files"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with watched(tmp_path) as world:
        assert sorted(Path(path).relative_to(tmp_path).as_posix() for path in world.tree) == [
            ".",
            "run",
            "run/.hydra",
            "run/wandb",
        ]
        (tmp_path / ".git" / "refs").mkdir()
        world.tree.renew([str(tmp_path / ".git" / "refs")])
        assert_watched(world)
        world.tree.close()
        assert inodes_watched(world.inotify) == []


NAMES = st.sampled_from(("a", "b", "c"))
PLACES = st.lists(NAMES, max_size=3).map(lambda names: "/".join(names))


class Folders(RuleBasedStateMachine):
    """Folders are made, moved and deleted in any order; events are read, and watches renewed, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="catalogdb-")
        self.root = Path(self.folder.name).resolve() / "root"
        self.root.mkdir()
        self.context = watched(self.root)
        self.world = self.context.__enter__()

    @rule(place=PLACES, name=NAMES)
    def make(self, place: str, name: str) -> None:
        (self.root / place / name).mkdir(parents=True, exist_ok=True)

    @rule(place=PLACES, name=NAMES)
    def delete(self, place: str, name: str) -> None:
        shutil.rmtree(self.root / place / name, ignore_errors=True)

    @rule(one=PLACES, one_name=NAMES, other=PLACES, other_name=NAMES)
    def move(self, one: str, one_name: str, other: str, other_name: str) -> None:
        source, target = self.root / one / one_name, self.root / other / other_name
        if source.exists() and not target.exists() and target.parent.exists() and not target.is_relative_to(source):
            source.rename(target)

    @rule(place=PLACES, name=NAMES, number=st.integers(0, 3))
    def move_out(self, place: str, name: str, number: int) -> None:
        target = self.root.with_name(f"out-{number}")
        if (self.root / place / name).exists() and not target.exists():
            (self.root / place / name).rename(target)

    @rule(name=NAMES, number=st.integers(0, 3))
    def move_in(self, name: str, number: int) -> None:
        source = self.root.with_name(f"out-{number}")
        if source.exists() and not (self.root / name).exists():
            source.rename(self.root / name)

    @rule()
    def read(self) -> None:
        self.world.read()

    @rule()
    def renew_what_was_read(self) -> None:
        self.world.tree.renew(self.world.take())

    @rule()
    def renew_while_the_root_is_away(self) -> None:
        aside = self.root.with_name("aside")
        self.root.rename(aside)
        self.world.read()
        self.world.tree.renew(self.world.take())
        aside.rename(self.root)

    @rule(place=PLACES, step=st.integers(0, 6), one=PLACES, one_name=NAMES, other=PLACES, other_name=NAMES)
    def move_while_watches_are_made(
        self, place: str, step: int, one: str, one_name: str, other: str, other_name: str
    ) -> None:
        self.world.inotify.act = lambda: self.move(one, one_name, other, other_name)
        self.world.inotify.countdown = step
        self.renew(place)
        self.world.inotify.countdown = -1

    @rule(place=PLACES)
    def renew(self, place: str) -> None:
        self.world.tree.renew([str(self.root / place)])

    def teardown(self) -> None:
        try:
            self.world.settle()
            assert_watched(self.world)
            assert_heard(self.world)
        finally:
            self.context.__exit__(None, None, None)
            self.folder.cleanup()


TestFolders = Folders.TestCase
TestFolders.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
