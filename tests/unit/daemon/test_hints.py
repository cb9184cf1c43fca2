"""Which path is looked at when, by a clock of the test's own and files of a real disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalogdb.daemon.hints import (
    LOOK_SECONDS,
    PATIENCE_SECONDS,
    QUEUE_WAS_FULL,
    QUIET_SECONDS,
    HintKind,
    Hints,
)


class Times:
    def __init__(self, limit: int = 20_000) -> None:
        self.now = 100.0
        self.hints = Hints(limit=limit, clock=lambda: self.now)

    def after(self, seconds: float) -> list[str]:
        """The names that are due then."""
        self.now += seconds + 1e-6
        return sorted(Path(hint.path).name for hint in self.hints.take()[0])


def test_what_is_done_is_looked_at_once_its_burst_is_over(tmp_path: Path) -> None:
    times = Times()
    for name in ("a", "b", "a"):
        times.hints.note(str(tmp_path), str(tmp_path / name), "done")
    assert times.after(0) == []
    assert times.after(QUIET_SECONDS) == ["a", "b"]
    assert times.after(10) == []


def test_what_was_made_is_looked_at_when_two_looks_saw_the_same(tmp_path: Path) -> None:
    times = Times()
    path = tmp_path / "a"
    path.write_bytes(b"1")
    times.hints.note(str(tmp_path), str(path), "created")
    assert times.after(LOOK_SECONDS) == []
    path.write_bytes(b"12")
    assert times.after(LOOK_SECONDS) == []
    assert times.after(LOOK_SECONDS) == ["a"]
    assert len(times.hints) == 0


@pytest.mark.parametrize("kind", ["created", "modified"])
def test_what_was_made_and_closed_does_not_wait(tmp_path: Path, kind: HintKind) -> None:
    times = Times()
    times.hints.note(str(tmp_path), str(tmp_path / "a"), kind)
    times.hints.note(str(tmp_path), str(tmp_path / "a"), "done")
    assert times.after(QUIET_SECONDS) == ["a"]


def test_a_file_that_was_there_is_looked_at_at_its_first_byte(tmp_path: Path) -> None:
    times = Times()
    path = tmp_path / "a"
    path.write_bytes(b"1")
    times.hints.note(str(tmp_path), str(path), "modified")
    assert times.after(QUIET_SECONDS) == ["a"]
    assert times.after(LOOK_SECONDS) == ["a"], "and when its write is over"
    assert len(times.hints) == 0


def test_a_file_that_changes_for_ever_is_looked_at_every_second(tmp_path: Path) -> None:
    times = Times()
    path = tmp_path / "a"
    path.write_bytes(b"")
    times.hints.note(str(tmp_path), str(path), "created")
    seen = 0
    for size in range(40):
        path.write_bytes(b"." * size)
        times.hints.note(str(tmp_path), str(path), "modified")
        seen += len(times.after(LOOK_SECONDS))
    assert seen == pytest.approx(40 * LOOK_SECONDS / PATIENCE_SECONDS, abs=2)


def test_more_than_may_wait_is_a_look_at_everything(tmp_path: Path) -> None:
    times = Times(limit=100)
    root, other = str(tmp_path), "/elsewhere"
    times.hints.note(other, f"{other}/kept", "done")
    for number in range(150):
        times.hints.note(root, f"{root}/{number}", "done")
        assert len(times.hints) <= 101
    times.now += 1
    ready, distrusted = times.hints.take()
    assert distrusted == {root: QUEUE_WAS_FULL}
    assert any(hint.root == other for hint in ready)
    assert times.hints.take() == ([], {})


def test_a_root_that_was_looked_at_has_nothing_waiting(tmp_path: Path) -> None:
    times = Times()
    for root in ("/one", "/two"):
        times.hints.note(root, f"{root}/a", "done")
        times.hints.overflow(root)
        times.hints.note(root, f"{root}/b", "done")
    times.hints.forget("/one")
    times.now += 1
    ready, distrusted = times.hints.take()
    assert [hint.path for hint in ready] == ["/two/b"]
    assert distrusted == {"/two": QUEUE_WAS_FULL}


def test_a_name_that_was_a_folder_s_stays_one(tmp_path: Path) -> None:
    times = Times()
    times.hints.note("/one", "/one/run", "done", is_file=False)
    times.hints.note("/one", "/one/run", "done")
    times.now += 1
    assert [hint.is_file for hint in times.hints.take()[0]] == [False]
