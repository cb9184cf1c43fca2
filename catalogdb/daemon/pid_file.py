"""A file that holds the process id of a running watcher."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class PidFile:
    """``path`` is None where nobody asked for one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._content = f"{os.getpid()}\n"

    def write(self) -> None:
        """Raises OSError, also where its folder isn't there."""
        if self._path is not None:
            self._path.write_text(self._content, encoding="ascii")

    def remove(self) -> None:
        """Unless it is another watcher's by now."""
        if self._path is not None:
            with suppress(OSError):
                if self._path.read_bytes() == self._content.encode():
                    self._path.unlink()
