"""watchdog's observer of other systems, by what it does on this one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogdb.daemon.hints import Hint, Hints
from catalogdb.daemon.other_systems import WatchdogObserving
from tests.e2e.watching.harness import wait_until

SUFFIXES = (".ckpt",)


class Heard:
    """A root's events."""

    def __init__(self) -> None:
        self.hints = Hints()
        self.observing = WatchdogObserving(self.hints)
        self._taken: dict[str, Hint] = {}

    def of(self, path: Path) -> Hint:
        """The hint about ``path``, as soon as it is due."""
        hint = wait_until(lambda: self._take(str(path)), what=f"a hint about {path}")
        assert isinstance(hint, Hint)
        return hint

    def _take(self, path: str) -> Hint | None:
        self._taken.update({hint.path: hint for hint in self.hints.take()[0]})
        return self._taken.pop(path, None)


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    heard.observing.start()
    yield heard
    heard.observing.stop()


def test_files_and_folders_at_any_depth(heard: Heard, tmp_path: Path) -> None:
    (tmp_path / "one" / "two").mkdir(parents=True)
    assert heard.observing.watch(str(tmp_path), SUFFIXES) is None
    path = tmp_path / "one" / "two" / "last.ckpt"
    path.write_bytes(b"new")
    assert heard.of(path) == Hint(str(tmp_path), str(path), True)
    path.rename(path.with_name("best.ckpt"))
    assert heard.of(path).is_file
    assert heard.of(path.with_name("best.ckpt")).is_file
    (tmp_path / "one" / "two").rename(tmp_path / "three")
    assert not heard.of(tmp_path / "one" / "two").is_file
    assert not heard.of(tmp_path / "three").is_file


def test_a_root_that_is_not_there_is_told(heard: Heard, tmp_path: Path) -> None:
    assert heard.observing.watch(str(tmp_path / "gone"), SUFFIXES) == "can't be watched: No such file or directory"


def test_a_root_that_is_not_watched_any_more(heard: Heard, tmp_path: Path) -> None:
    for name in ("left", "watched"):
        (tmp_path / name).mkdir()
        assert heard.observing.watch(str(tmp_path / name), SUFFIXES) is None
    heard.observing.unwatch(str(tmp_path / "left"))
    for name in ("left", "watched"):
        (tmp_path / name / "last.ckpt").write_bytes(b"new")
    assert heard.of(tmp_path / "watched" / "last.ckpt").is_file
    assert len(heard.hints) == 0
