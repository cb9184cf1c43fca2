"""A watcher in the background: a new process of its own session, of which we know that it watches before we leave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from catalogdb.errors import CatalogError

READY_VARIABLE = "CATALOGDB_READY_FD"
"""Names the descriptor on which a detached watcher says that it watches."""


class DetachError(CatalogError):
    """The watcher in the background ended before it watched."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def detach(arguments: Sequence[str], *, log_file: Path) -> int:
    """Starts ``catalogdb`` with these arguments in the background, and returns its pid once it watches.

    What it says goes to ``log_file``. Raises DetachError where it ends first, OSError where it can't be logged.
    """
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as ready, log_file.open("ab") as log:
        began = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "catalogdb", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(writing,),
            env={**os.environ, READY_VARIABLE: str(writing)},
        )
        os.close(writing)
        if not ready.read(1):
            code = process.wait()
            said = log_file.read_bytes()[began:].decode(errors="replace").strip().splitlines()
            reason = said[-1].removeprefix("catalogdb: error: ") if said else f"it ended with {code}"
            raise DetachError(reason, code or 3)
    process.returncode = 0  # it lives on; nobody waits for it here
    return process.pid


def say_ready() -> None:
    """Tells the process that started this one, if there is one that waits."""
    descriptor = os.environ.pop(READY_VARIABLE, "")
    if descriptor.isdigit():
        with os.fdopen(int(descriptor), "wb") as waiting:
            waiting.write(b"1")
