"""A command of the user's that is told of each event. It may be slow, hang or fail: indexing doesn't wait for it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping
from typing import Any

from catalogdb.daemon.facts import tell

HOOK_SECONDS = 30.0
"""How long a command may take for one event."""

WAITING = 1_000
"""Events that may wait for the command; more are dropped, and counted."""


class Hook:
    """Runs a shell command for one event at a time, with the event as JSON on its standard input."""

    def __init__(self, command: str, *, seconds: float = HOOK_SECONDS, waiting: int = WAITING) -> None:
        self._command = command
        self._seconds = seconds
        self._events: queue.Queue[Mapping[str, Any] | None] = queue.Queue(waiting)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="catalogdb-hook", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        self._thread.start()

    def put(self, event: Mapping[str, Any]) -> None:
        """Never waits."""
        try:
            self._events.put_nowait(event)
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1:
                tell("hook is behind", level=logging.WARNING, message="events are dropped", command=self._command)

    def stop(self, seconds: float) -> None:
        """Lets the command in hand end within ``seconds``, and ends it otherwise; what waits is dropped."""
        self._stopped = True
        with contextlib.suppress(queue.Empty):
            while True:
                self._events.get_nowait()
        self._events.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._kill()
            self._thread.join(1.0)

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            self._call(json.dumps(event, default=str).encode())

    def _call(self, text: bytes) -> None:
        try:
            self._process = subprocess.Popen(
                self._command,
                shell=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            tell("hook failed", level=logging.WARNING, command=self._command, reason=error.strerror)
            return
        try:
            self._process.communicate(text + b"\n", timeout=self._seconds)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.communicate()
            tell("hook failed", level=logging.WARNING, command=self._command, reason=f"took over {self._seconds:g} s")
        else:
            if self._process.returncode and not self._stopped:
                reason = f"ended with {self._process.returncode}"
                tell("hook failed", level=logging.WARNING, command=self._command, reason=reason)

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
