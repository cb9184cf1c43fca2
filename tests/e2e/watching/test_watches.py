"""Folders that change faster than their events are read: each is watched under the name that it has in the end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.watching.harness import Watching, checkpoint, put, wait_until, watching


def assert_hears(watcher: Watching, folder: str, step: int) -> None:
    put(watcher.root / folder / "new.ckpt", checkpoint(step))
    wait_until(partial(_is_known, watcher, f"{folder}/new.ckpt"), what=f"{folder} is watched")


def _is_known(watcher: Watching, rel_path: str) -> bool:
    return rel_path in watcher.rows()


def test_a_folder_is_made_renamed_and_made_again_at_once(root: Path, tmp_path: Path) -> None:
    with watching(root, tmp_path / "catalog.db") as watcher:
        wait_until(lambda: watcher.facts("reconciled"))
        watcher.process.send_signal(signal.SIGSTOP)
        (root / "run").mkdir()
        (root / "run").rename(root / "kept")
        (root / "run").mkdir()
        put(root / "kept" / "first.ckpt", checkpoint(0))
        watcher.process.send_signal(signal.SIGCONT)
        wait_until(lambda: "kept/first.ckpt" in watcher.rows())
        assert_hears(watcher, "kept", 1)
        assert_hears(watcher, "run", 2)
        watcher.assert_true()


def test_a_folder_is_made_and_the_root_is_away_for_a_moment(root: Path, tmp_path: Path) -> None:
    with watching(root, tmp_path / "catalog.db") as watcher:
        wait_until(lambda: watcher.facts("reconciled"))
        for number in range(8):
            put(root / f"run-{number}" / "checkpoints" / "first.ckpt", checkpoint(number))
            root.rename(tmp_path / "aside")
            time.sleep(0.005 * number)
            (tmp_path / "aside").rename(root)
            wait_until(partial(_is_known, watcher, f"run-{number}/checkpoints/first.ckpt"))
        for number in range(8):
            assert_hears(watcher, f"run-{number}/checkpoints", number)
        watcher.assert_true()


def test_a_folder_s_name_is_a_file_s_at_once(root: Path, tmp_path: Path) -> None:
    """What lay in it is missing."""
    put(root / "run" / "last.ckpt", checkpoint(1))
    with watching(root, tmp_path / "catalog.db") as watcher:
        wait_until(lambda: watcher.facts("reconciled"))
        watcher.process.send_signal(signal.SIGSTOP)
        (root / "run").rename(tmp_path / "run")
        put(root / "run", b"no folder any more")
        watcher.process.send_signal(signal.SIGCONT)
        wait_until(lambda: watcher.rows()["run/last.ckpt"].state == "missing")
        (root / "run").unlink()
        (tmp_path / "run").rename(root / "run")
        wait_until(lambda: watcher.rows()["run/last.ckpt"].state == "ready")
        assert_hears(watcher, "run", 2)
        watcher.assert_true()


LIMITED = 'echo 20 > /proc/sys/user/max_inotify_watches && exec "$@"'
"""In a user namespace of its own, where the limit is nobody else's."""

UNSHARED = ("unshare", "--user", "--map-root-user", "sh", "-c", LIMITED, "sh")


def test_more_folders_than_may_be_watched(root: Path, tmp_path: Path) -> None:
    """It says so, polls, and goes on being right; below the limit it never polled."""
    if shutil.which("unshare") is None or subprocess.run([*UNSHARED, "true"], check=False).returncode:
        pytest.skip("no user namespace may be made here")
    put(root / "run-0" / "checkpoints" / "first.ckpt", checkpoint(1))
    with watching(root, tmp_path / "catalog.db", within=UNSHARED, CATALOGDB_WATCH_POLL="0.3") as watcher:
        wait_until(lambda: watcher.facts("reconciled"))
        assert not watcher.facts("polling")
        for number in range(30):
            put(root / f"run-{number}" / "checkpoints" / "last.ckpt", checkpoint(number))
        (fact,) = wait_until(lambda: watcher.facts("polling"))
        assert "sysctl fs.inotify.max_user_watches=" in fact["message"]
        assert len(watcher.assert_true()) == 31
        for number in range(30):
            put(root / f"run-{number}" / "checkpoints" / "last.ckpt", checkpoint(number + 1))
        wait_until(lambda: {row.epoch for row in watcher.rows().values()} == set(range(1, 31)))
        watcher.assert_true()
        assert len(watcher.facts("polling")) == 1
