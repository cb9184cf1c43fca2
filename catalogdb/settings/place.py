"""Where a setting was written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from catalogdb.settings.folders import expand_home


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written: what errors call it, and what its relative paths are relative to.

    ``text`` says that values are text whatever their type, as in the environment.
    """

    label: str
    base: Path
    home: str
    text: bool = False

    def absolute(self, written: str) -> str:
        # Not Path.resolve: a root that is a symbolic link keeps the name its user knows it by.
        return os.path.normpath(self.base / expand_home(written, self.home))
