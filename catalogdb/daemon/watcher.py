"""A watcher's life: its first look, its worker, its heartbeat, the signals that it answers to, its end."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from catalogdb.daemon.announce import Announcer
from catalogdb.daemon.detach import say_ready
from catalogdb.daemon.facts import tell
from catalogdb.daemon.hints import Hints
from catalogdb.daemon.hooks import Hook
from catalogdb.daemon.observing import observing
from catalogdb.daemon.pid_file import PidFile
from catalogdb.daemon.roots import WatchedRoot
from catalogdb.daemon.service import Notifier
from catalogdb.daemon.session import Session
from catalogdb.daemon.worker import Stopped, Worker, counts_of
from catalogdb.errors import CatalogError, DatabaseError
from catalogdb.records import Change, Progress, ScanReport
from catalogdb.settings import Settings
from catalogdb.store import HEARTBEAT_SECONDS, Pulse
from catalogdb.timestamps import iso

LEAVE_SECONDS = 4.0
"""For the batch in hand; a second is left for the rest."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """``roots`` are absolute and real; those that aren't there are waited for. ``command`` is told of each event.
    ``pid_file`` is there while it holds its lease."""

    roots: tuple[str, ...]
    poll: bool = False
    once: bool = False
    use_wandb: bool = True
    command: str | None = None
    pid_file: Path | None = None


class Watcher:
    """Run in the main thread: it answers to signals. ``reload`` reads the settings anew."""

    def __init__(
        self,
        options: WatchOptions,
        settings: Settings,
        *,
        reload: Callable[[], Settings],
        on_progress: Callable[[Progress], None] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._options = options
        self._reload = reload
        self._draw = on_progress
        self._notifier = Notifier(environ)
        self._pid_file = PidFile(options.pid_file)
        self._hook = Hook(options.command) if options.command else None
        self._announcer = Announcer(self._hook)
        self._hints = Hints()
        self._observing = None if options.poll else observing(self._hints)
        self._roots = [WatchedRoot(path) for path in options.roots]
        self._session = Session(
            settings,
            options.roots,
            use_wandb=options.use_wandb,
            on_change=self._note,
            on_progress=self._on_progress,
        )
        self._worker = Worker(self._session, self._roots, self._hints, self._announcer, self._observing)
        self._asked: list[int] = []
        self._beat_at = 0.0
        self._counted = (time.monotonic(), 0)

    def run(self) -> ScanReport | None:
        """Until a signal asks it to leave. Returns the report of the first look where that is all (``once``).

        Raises AlreadyWatched, DatabaseError, RootError and OSError as far as they show before it watches, and what ends
        it; KeyboardInterrupt where a signal cut the first look short, and that would have been all.
        """
        with self._signals() as wakeup:
            self._session.open()
            try:
                self._pid_file.write()
                if self._hook is not None:
                    self._hook.start()
                report = self._first_look()
                if self._options.once:
                    return report
                if not self._is_asked_to_leave():
                    self._watch(wakeup)
            except Stopped:
                if self._options.once:
                    raise KeyboardInterrupt from None
            finally:
                self._leave()
        if self._worker.failure is not None:
            raise self._worker.failure
        return None

    def _first_look(self) -> ScanReport:
        """In this thread, while there is no other: a large tree is read in several processes."""
        self._announcer.remember(self._session.catalog)
        known = {root.path for root in self._session.catalog.status().roots if root.scanned_at}
        reports = []
        for root in self._roots:
            self._announcer.is_quiet = root.path not in known
            if root.presence() != "there":
                self._worker.lose(root)
                continue
            report = self._session.ingest.scan([root.path])
            reports.append(report)
            root.seconds = report.seconds
            tell("scanned", root=root.path, total=report.total, seconds=report.seconds, **counts_of(report))
        self._announcer.tell_bests(self._session.catalog)
        if any(root.path not in known for root in self._roots):
            self._announcer.remember(self._session.catalog)
        self._announcer.is_quiet = False
        return ScanReport.of_all(reports)

    def _watch(self, wakeup: socket.socket) -> None:
        if self._observing is not None:
            self._observing.start()
        for root in self._roots:
            if not root.is_away:
                self._worker.observe(root)
        self._beat_at = 0.0
        thread = threading.Thread(target=self._worker.run, name="catalogdb-worker", daemon=True)
        thread.start()
        self._notifier.tell("READY=1", f"STATUS=watching {len(self._roots)} roots", f"MAINPID={os.getpid()}")
        say_ready()
        tell("watching", roots=[root.path for root in self._roots], pid=os.getpid())
        while thread.is_alive() and not self._is_asked_to_leave():
            readable, _, _ = select.select([wakeup], [], [], 1.0)
            if readable:
                wakeup.recv(64)
            if signal.SIGHUP in self._asked:
                self._asked = [each for each in self._asked if each != signal.SIGHUP]
                self._read_again()
            self._beat()
        self._notifier.tell("STOPPING=1")
        self._worker.stop()
        thread.join(LEAVE_SECONDS)
        if thread.is_alive():
            tell("leaving", level=logging.WARNING, message="the batch in hand takes too long and is dropped")
            self._pid_file.remove()
            os._exit(0)  # each batch is a transaction: what isn't written is found by the next look

    def _leave(self) -> None:
        if self._hook is not None:
            self._hook.stop(0.5)
        if self._observing is not None:
            self._observing.stop()
        if self._session.is_open:
            with suppress(DatabaseError):
                self._session.release()
        self._session.close()
        self._pid_file.remove()
        tell("left")

    # -- in between ----------------------------------------------------------------------------------------------------

    def _note(self, change: Change) -> None:
        self._announcer.note(change)
        self._worker.note(change)

    def _on_progress(self, progress: Progress) -> None:
        if self._is_asked_to_leave():
            raise Stopped
        if threading.current_thread() is threading.main_thread():
            if self._draw is not None:
                self._draw(progress)
            self._beat(status="first scan")
        else:
            self._worker.on_progress(progress)

    def _read_again(self) -> None:
        self._notifier.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            self._session.settings = self._reload()
        except CatalogError as error:
            tell("settings kept", level=logging.WARNING, message=str(error))
        self._worker.reconcile("SIGHUP")
        self._notifier.tell("READY=1")

    def _beat(self, *, status: str | None = None) -> None:
        """Every few seconds: the heartbeat, and systemd's watchdog, as long as the worker does something."""
        now = time.monotonic()
        if now - self._beat_at < HEARTBEAT_SECONDS:
            return
        self._beat_at = now
        stuck = status is None and now - self._worker.alive_at > (self._notifier.watchdog_seconds or 60.0) / 2
        if not stuck:
            self._notifier.tell("WATCHDOG=1")
        if not self._session.is_open:
            return
        (before, counted), self._counted = self._counted, (now, self._hints.count)
        problems = [f"{root.path}: {root.problem}" for root in self._roots if root.problem]
        problems += [self._worker.problem] if self._worker.problem else []
        problems += ["the worker is stuck"] if stuck else []
        at = self._hints.last_at
        pulse = Pulse(
            status=status or self._worker.status,
            queue=len(self._hints),
            events=self._hints.count,
            events_per_second=round((self._hints.count - counted) / max(now - before, 0.001), 1),
            last_event_at=iso(datetime.fromtimestamp(at, timezone.utc)) if at else None,
            reconciled_at=self._worker.reconciled_at,
            polled=tuple(root.path for root in self._roots if root.polled),
            problems=tuple(problems),
        )
        try:
            self._session.beat(pulse)
        except DatabaseError as error:
            tell("no heartbeat", level=logging.WARNING, message=str(error))
        except CatalogError as error:
            self._worker.failure = error
            self._asked.append(signal.SIGTERM)

    def _is_asked_to_leave(self) -> bool:
        return any(number != signal.SIGHUP for number in self._asked)

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Signals are noted, and wake the main thread through a socket."""

        def note(number: int, _frame: FrameType | None) -> None:
            self._asked.append(number)

        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.setblocking(False)
            before = {number: signal.signal(number, note) for number in SIGNALS}
            waking = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            try:
                yield ours
            finally:
                signal.set_wakeup_fd(waking)
                for number, handler in before.items():
                    signal.signal(number, handler)
