"""Whether a root is there, and whether its events can be trusted."""

from __future__ import annotations

import shutil
from pathlib import Path

from catalogdb.daemon.clocks import JUMP_SECONDS, Clocks
from catalogdb.daemon.roots import WatchedRoot
from catalogdb.mounts import Mount


def test_a_root_that_goes_and_another_that_comes(tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    folder.mkdir()
    root = WatchedRoot(str(folder))
    assert root.presence() == "there"
    folder.rename(tmp_path / "aside")
    assert root.presence() == "away"
    folder.write_bytes(b"no folder")
    assert root.presence() == "away"
    folder.unlink()
    folder.mkdir()
    assert root.presence() == "another"
    root.settle_in()
    assert root.presence() == "there"
    shutil.rmtree(folder)
    root.is_away = True
    (tmp_path / "aside").rename(folder)
    assert root.presence() == "another"


def test_the_empty_folder_that_a_mount_leaves_behind_is_no_root(tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    folder.mkdir()
    root = WatchedRoot(str(folder))
    root.identity, root.mount = (0, 0), Mount(str(folder), "nfs4", "server:/export")
    assert root.presence() == "away"


class World:
    """Three clocks."""

    def __init__(self) -> None:
        self.wall, self.awake, self.boot = 1e9, 500.0, 700.0
        self.clocks = Clocks(wall=lambda: self.wall, awake=lambda: self.awake, boot=lambda: self.boot)

    def after(self, *, wall: float, awake: float, boot: float) -> str | None:
        self.wall += wall
        self.awake += awake
        self.boot += boot
        return self.clocks.jump(expected=1.0)


def test_what_the_clocks_tell() -> None:
    world = World()
    assert world.after(wall=1, awake=1, boot=1) is None
    assert world.after(wall=1 + JUMP_SECONDS / 2, awake=1, boot=1) is None
    assert world.after(wall=3601, awake=1, boot=3601) == "the machine slept for 3600 s"
    assert world.after(wall=-3599, awake=1, boot=1) == "the clock was set by -3600 s"
    assert world.after(wall=60, awake=60, boot=60) == "the process stood still for 60 s"
    assert world.after(wall=1, awake=1, boot=1) is None
