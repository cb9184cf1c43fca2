"""What Linux tells of a root, and what is said where it can't be relied on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("inotify is Linux's", allow_module_level=True)

from catalogdb.daemon.hints import Hints
from catalogdb.daemon.inotify import InotifyObserving
from tests.e2e.watching.harness import wait_until

SUFFIXES = (".ckpt",)


@pytest.fixture
def observing() -> Iterator[InotifyObserving]:
    observing = InotifyObserving(Hints())
    observing.start()
    yield observing
    observing.stop()


def test_each_root_has_its_own_hints_until_it_is_left(observing: InotifyObserving, tmp_path: Path) -> None:
    hints = observing._hints
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert observing.watch(str(tmp_path / name), SUFFIXES) is None
    (tmp_path / "one" / "a.ckpt").touch()
    (tmp_path / "two" / "b.txt").touch()
    wait_until(lambda: len(hints) == 2)
    observing.unwatch(str(tmp_path / "one"))
    (tmp_path / "one" / "c.ckpt").touch()
    (tmp_path / "two" / "d.ckpt").touch()
    wait_until(lambda: len(hints) == 3)
    assert observing.renew(str(tmp_path / "one"), [str(tmp_path / "one")]) is None, "it isn't watched"


def test_only_checkpoints_and_documents_are_looked_at_while_they_are_written(
    observing: InotifyObserving, tmp_path: Path
) -> None:
    hints = observing._hints
    assert observing.watch(str(tmp_path), SUFFIXES) is None
    with (
        (tmp_path / "events.log").open("wb", buffering=0) as log,
        (tmp_path / "a.ckpt").open("wb", buffering=0) as file,
    ):
        wait_until(lambda: hints.count >= 2)
        before = hints.count
        for _ in range(10):
            log.write(b"more")
        file.write(b"more")
        wait_until(lambda: hints.count > before)
        assert hints.count == before + 1


def test_a_root_that_is_not_there_is_told(observing: InotifyObserving, tmp_path: Path) -> None:
    assert observing.watch(str(tmp_path / "gone"), SUFFIXES) == "can't be watched: No such file or directory"
    (tmp_path / "file").touch()
    assert observing.watch(str(tmp_path / "file"), SUFFIXES) == "can't be watched: Not a directory"


def test_events_that_have_ended_are_told(observing: InotifyObserving, tmp_path: Path) -> None:
    assert observing.watch(str(tmp_path), SUFFIXES) is None
    assert observing.renew(str(tmp_path), [str(tmp_path)]) is None
    reader = observing._inotify
    assert reader is not None
    reader.stop()
    reader.join()
    assert observing.renew(str(tmp_path), [str(tmp_path)]) == "its events ended, which they never should"
