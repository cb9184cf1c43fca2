"""When W&B is asked again, by a clock of the test's own."""

from __future__ import annotations

from datetime import datetime, timezone

from catalogdb.daemon.freshness import Freshness
from catalogdb.records import Candidate, Resolution, Stamp


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float) -> str:
        """That moment as rows have it."""
        return datetime.fromtimestamp(self.now + seconds, timezone.utc).isoformat(timespec="seconds")


def row(*, at: str | None = None, failed: bool = False) -> Resolution:
    candidate = Candidate("/outputs", "last.ckpt", Stamp(1, 1, 1, 1))
    return Resolution(
        candidate,
        "ready",
        None,
        "legacy",
        failed=frozenset({"wandb"} if failed else ()),
        recheck=failed,
        recheck_at=at,
    )


def pauses(clock: Clock, fresh: Freshness, count: int) -> list[float]:
    """Between questions that nobody answers."""
    found = []
    for _ in range(count):
        began = clock.now
        while not fresh.is_due:
            clock.now += 1.0
        found.append(clock.now - began)
        fresh.asked(is_answered=False, moment=None)
    return found


def test_it_is_due_when_the_first_row_expires() -> None:
    clock = Clock()
    fresh = Freshness(lambda: 3600.0, clock=clock)
    assert not fresh.is_due
    fresh.note(row())
    fresh.note(row(at=clock.after(3600)))
    fresh.note(row(at=clock.after(900)))
    clock.now += 899
    assert not fresh.is_due
    clock.now += 1
    assert fresh.is_due
    fresh.asked(is_answered=True, moment=clock.after(2700))
    clock.now += 2699
    assert not fresh.is_due
    clock.now += 1
    assert fresh.is_due
    fresh.asked(is_answered=True, moment=None)
    clock.now += 1e6
    assert not fresh.is_due


def test_runs_that_expire_one_after_the_other_wait_for_each_other() -> None:
    clock = Clock()
    fresh = Freshness(lambda: 3600.0, clock=clock)
    fresh.asked(is_answered=True, moment=clock.after(1))
    clock.now += 59
    assert not fresh.is_due
    clock.now += 1
    assert fresh.is_due


def test_a_server_that_fails_is_asked_less_and_less() -> None:
    clock = Clock()
    fresh = Freshness(lambda: 3600.0, clock=clock)
    fresh.note(row(failed=True))
    assert pauses(clock, fresh, 8) == [60, 60, 120, 240, 480, 900, 900, 900]
    fresh.note(row(failed=True))
    assert pauses(clock, fresh, 1) == [900], "a new row doesn't hurry it"
    fresh.asked(is_answered=True, moment=None)
    fresh.note(row(failed=True))
    assert pauses(clock, fresh, 2) == [60, 60]


def test_answers_that_last_no_time_are_not_asked_for_without_end() -> None:
    clock = Clock()
    fresh = Freshness(lambda: 0.0, clock=clock)
    fresh.note(row(at=clock.after(0)))
    assert not fresh.is_due
    clock.now += 60
    assert fresh.is_due
