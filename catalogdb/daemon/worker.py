"""The one that looks: takes hints, brings their places in line, reconciles whole roots, bears with the database."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from traceback import format_exc
from typing import Any

from catalogdb.daemon.announce import Announcer
from catalogdb.daemon.clocks import Clocks
from catalogdb.daemon.facts import tell
from catalogdb.daemon.freshness import Freshness
from catalogdb.daemon.hints import QUEUE_WAS_FULL, Hint, Hints
from catalogdb.daemon.observing import Observing
from catalogdb.daemon.roots import WatchedRoot
from catalogdb.daemon.session import Session
from catalogdb.discovery import places_of
from catalogdb.errors import AlreadyWatched, CatalogError, DatabaseError, RootError, SchemaOutdated, SchemaTooNew
from catalogdb.records import Change, Progress, ScanReport
from catalogdb.timestamps import iso

TICK_SECONDS = 1.0
"""How often it looks whether the roots and the catalog are still there."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""After a failure of the database, doubled each time."""

WRITING_SECONDS = 0.5, 5.0
"""Before another look at a file that ends too early, doubled each time, until its age says that it always will."""

POLL_SHARE = 10
"""A root without events is looked at when so many times the time of a look has passed: a tenth of the time at most."""

JITTER = 0.1
LONGEST_LOOK = 2_000
"""Hints for one look, so that none waits for long."""


class Stopped(Exception):
    """Raised between two batches when the watcher is to end."""


class Worker:
    """Runs in a thread of its own. ``alive_at`` is when it last did something, by the monotonic clock."""

    def __init__(
        self,
        session: Session,
        roots: Sequence[WatchedRoot],
        hints: Hints,
        announcer: Announcer,
        observing: Observing | None,
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._session = session
        self._roots = {root.path: root for root in roots}
        self._hints = hints
        self._announcer = announcer
        self._observing = observing
        self._rng = rng or random.Random()
        self._fresh = {root.path: Freshness(lambda: session.settings.wandb_cache_ttl) for root in roots}
        self._stop = threading.Event()
        self._writing: dict[str, float] = {}
        self._ticked = 0.0
        self.alive_at = time.monotonic()
        self.status = "starting"
        self.problem: str | None = None
        self.reconciled_at: str | None = None
        self.failure: CatalogError | None = None
        """Why it ended by itself."""

    def stop(self) -> None:
        self._stop.set()
        self._hints.wake()

    def reconcile(self, why: str) -> None:
        """Has every root looked at as a whole, soon. May be called from any thread."""
        for root in self._roots.values():
            self._hurry(root, why)
        self._hints.wake()

    def note(self, change: Change) -> None:
        """A row that was written."""
        for path, fresh in self._fresh.items():
            if change.resolution is not None and change.path.startswith(f"{path.rstrip('/')}/"):
                fresh.note(change.resolution)

    def on_progress(self, _progress: Progress) -> None:
        """Between two batches."""
        self.alive_at = time.monotonic()
        if self._stop.is_set():
            raise Stopped

    def run(self) -> None:
        pause = FIRST_PAUSE
        clocks = Clocks()
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._turn()
            except Stopped:
                break
            except (AlreadyWatched, SchemaOutdated, SchemaTooNew) as error:  # waiting doesn't mend these
                self.failure = error
                break
            except DatabaseError as error:
                self._fail(error, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                clocks = Clocks()
                continue
            except Exception as error:  # noqa: BLE001 - a bug must not end a daemon; it's told, and all is looked at again
                self._fail(error, pause, traceback=format_exc())
                pause = min(2 * pause, LONGEST_PAUSE)
                clocks = Clocks()
                continue
            pause = FIRST_PAUSE
            self.problem = None
            self._rest(began, clocks)

    # -- one turn ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        self.alive_at = time.monotonic()
        if not self._session.is_open or self._session.was_replaced() or self._session.is_outdated():
            self._reopen()
        if self.alive_at - self._ticked >= TICK_SECONDS:
            self._ticked = self.alive_at
            self._check_roots()
        due, distrusted = self._hints.take()
        for path, why in distrusted.items():
            if why == QUEUE_WAS_FULL:
                tell("events lost", level=logging.WARNING, root=path, message=f"{why}; looking at everything")
            self._hurry(self._roots[path], why)
        for start in range(0, len(due), LONGEST_LOOK):
            self._look(due[start : start + LONGEST_LOOK])
        for root in self._roots.values():
            if not root.is_away and root.due <= time.monotonic():
                self._reconcile(root)
            elif not root.is_away and self._fresh[root.path].is_due:
                self._ask_again(root)
        self.status = "watching"

    def _rest(self, began: float, clocks: Clocks) -> None:
        now = time.monotonic()
        next_look = min((root.due for root in self._roots.values() if not root.is_away), default=now + TICK_SECONDS)
        self._hints.wait(max(0.0, min(TICK_SECONDS, next_look - now)))
        jump = clocks.jump(expected=now - began + TICK_SECONDS)
        if jump is not None:
            tell("reconcile", message=jump)
            self.reconcile(jump)

    def _look(self, due: Iterable[Hint]) -> None:
        by_root: dict[str, list[Hint]] = defaultdict(list)
        for hint in due:
            by_root[hint.root].append(hint)
        for path, hints in by_root.items():
            self._look_at(self._roots[path], hints)

    def _look_at(self, root: WatchedRoot, hints: Sequence[Hint]) -> None:
        if root.is_away or root.due <= time.monotonic():
            return
        if root.presence() != "there":  # it may be back before the next check: then nobody else knows of these hints
            self._ticked = 0.0
            self._hurry(root, "it was away for a moment")
            return
        start = len(root.path.rstrip("/")) + 1
        touched = [hint.path[start:] for hint in hints]
        pairs = zip(hints, touched, strict=True)
        places = [place for hint, path in pairs for place in places_of(path, is_file=hint.is_file)]
        self._renew(root, [hint.path for hint in hints if not hint.is_file])
        if places:
            self._attempt(root, lambda: self._session.ingest.rescan(root.path, places, touched=touched))

    def _reconcile(self, root: WatchedRoot) -> None:
        if root.presence() != "there":
            self._ticked = 0.0
            return
        why = root.why
        self._hints.forget(root.path)
        self.status = f"reconciling {root.path}"
        root.due = time.monotonic() + self._interval(root)
        root.why = "time"
        self._renew(root, [root.path])
        report = self._attempt(root, lambda: self._session.ingest.scan([root.path]))
        if report is None:
            return
        self._plan_asking(root)
        root.seconds = report.seconds
        root.due = time.monotonic() + self._interval(root)
        self.reconciled_at = iso(datetime.now(timezone.utc))
        counts = counts_of(report)
        level = logging.DEBUG if why == "time" and not counts else logging.INFO
        tell("reconciled", level=level, root=root.path, why=why, total=report.total, seconds=report.seconds, **counts)

    def _ask_again(self, root: WatchedRoot) -> None:
        """Of W&B, what was expiring or could not be asked."""
        places, _ = self._session.ingest.expiring(root.path)
        if places and root.presence() == "there":
            self.status = f"asking W&B about {root.path}"
            self._attempt(root, lambda: self._session.ingest.rescan(root.path, places, ask_anew=True))
        self._plan_asking(root)

    def _plan_asking(self, root: WatchedRoot) -> None:
        left, moment = self._session.ingest.expiring(root.path)
        self._fresh[root.path].asked(is_answered=not left, moment=moment)

    def _attempt(self, root: WatchedRoot, act: Callable[[], ScanReport]) -> ScanReport | None:
        """A look, and what is said of it. What fails is made good by a look at the whole root."""
        try:
            report = act()
        except RootError as error:
            root.problem = str(error)
            self._ticked = 0.0
            self._hurry(root, "it could not be read", seconds=TICK_SECONDS)
            return None
        except BaseException:
            self._hurry(root, "a look failed")
            raise
        root.problem = None
        for problem in report.problems:
            if problem.tier == "wandb" and not problem.path.startswith("/"):  # of a server or a project, not of a file
                tell("wandb", level=logging.WARNING, message=f"{problem.path} {problem.reason}")
        self._look_again(root)
        self._announcer.tell_bests(self._session.catalog)
        return report

    def _look_again(self, root: WatchedRoot) -> None:
        """At files that were seen in the middle of a write: its end may come without an event."""
        writing = self._announcer.still_writing()
        for path in writing:
            if path.startswith(f"{root.path.rstrip('/')}/"):
                before = self._writing.get(path, WRITING_SECONDS[0] / 2)
                seconds = self._writing[path] = min(2 * before, WRITING_SECONDS[1])
                self._hints.again(root.path, path, seconds)
        self._writing = {path: seconds for path, seconds in self._writing.items() if path in writing}

    # -- what goes wrong ---------------------------------------------------------------------------------------------

    def _check_roots(self) -> None:
        for root in self._roots.values():
            presence = root.presence()
            if presence == "there" or (presence == "away" and root.is_away):
                continue
            self._hints.forget(root.path)
            if presence == "away":
                self.lose(root)
                if self._observing is not None:
                    self._observing.unwatch(root.path)
                continue
            tell("root is back", root=root.path)
            root.is_away = False
            root.settle_in()
            self._session.ingest.set_in_reach(root.path)
            self.observe(root)
            self._hurry(root, "the root is back")

    def lose(self, root: WatchedRoot) -> None:
        """It isn't there: what it holds is no longer known for sure."""
        root.is_away = True
        root.problem = "isn't there; its rows are stale until it's back"
        tell("root vanished", level=logging.WARNING, root=root.path, message=root.problem)
        self._session.ingest.set_out_of_reach(root.path)

    def observe(self, root: WatchedRoot) -> None:
        """Has a root's events from now on; else it's polled, and said why."""
        if self._observing is None:
            root.polled = "as asked"
        elif root.mount is not None and root.mount.is_remote:
            self._poll(root, f"lies on {root.mount.kind}, where changes by other machines give no events")
        else:
            root.polled = None
            reason = self._observing.watch(root.path, self._session.settings.suffixes)
            if reason is not None:
                self._poll(root, reason)

    def _renew(self, root: WatchedRoot, folders: Sequence[str]) -> None:
        """Before a look: what changes after a folder was watched gives an event, what changed before is seen by it."""
        if root.polled is None and self._observing is not None and folders:
            reason = self._observing.renew(root.path, folders)
            if reason is not None:
                self._poll(root, reason)

    def _poll(self, root: WatchedRoot, reason: str) -> None:
        root.polled = reason
        if self._observing is not None:
            self._observing.unwatch(root.path)
        root.due = min(root.due, time.monotonic() + self._interval(root))
        seconds = self._session.settings.watch_poll
        tell("polling", level=logging.WARNING, root=root.path, message=f"{reason}; looking every {seconds:g} s instead")

    def _reopen(self) -> None:
        if self._session.was_replaced():
            tell(
                "catalog replaced", level=logging.WARNING, message="its file is another one, or gone; opening it again"
            )
        settings_changed = self._session.is_outdated()
        self._session.open()
        for root in self._roots.values():
            if settings_changed and not root.is_away:
                self.observe(root)
            self._hurry(root, "the catalog was opened again")

    def _fail(self, error: Exception, pause: float, *, traceback: str | None = None) -> None:
        """``traceback`` is a bug's."""
        bug = f"a bug in catalogdb: {type(error).__name__}: " if traceback is not None else ""
        self.problem = f"{bug}{error}"
        self.status = f"waiting {pause:g} s after a failure"
        tell("failed", level=logging.ERROR, message=self.problem, again_in=pause, traceback=traceback)
        self._session.close()
        self._stop.wait(pause)
        self.alive_at = time.monotonic()

    def _hurry(self, root: WatchedRoot, why: str, *, seconds: float = 0.0) -> None:
        root.due = min(root.due, time.monotonic() + seconds)
        root.why = why

    def _interval(self, root: WatchedRoot) -> float:
        """Until the next look at the whole root. Watchers of many machines shouldn't fall into step."""
        settings = self._session.settings
        seconds = settings.watch_reconcile if root.polled is None else settings.watch_poll
        if root.polled is not None:
            seconds = max(seconds, POLL_SHARE * root.seconds)
        return seconds * self._rng.uniform(1 - JITTER, 1 + JITTER)


def counts_of(report: ScanReport) -> dict[str, Any]:
    """What a scan changed, as far as it changed anything."""
    return {name: count for name in ("new", "updated", "moved", "missing") if (count := getattr(report, name))}
