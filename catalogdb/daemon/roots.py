"""One watched root: whether it's there, whether it gives events, and when it was looked at as a whole."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from catalogdb.mounts import Mount, mount_of

Identity = tuple[int, int]
Presence = Literal["there", "away", "another"]


@dataclass(slots=True)
class WatchedRoot:
    """``polled`` says why it gives no events, None where it does. ``due`` is when to look at all of it, by the
    monotonic clock, and ``why`` the reason."""

    path: str
    polled: str | None = None
    is_away: bool = False
    due: float = 0.0
    why: str = "start"
    seconds: float = 0.0
    problem: str | None = None
    identity: Identity | None = None
    mount: Mount | None = field(default=None)

    def __post_init__(self) -> None:
        self.settle_in()

    def settle_in(self) -> None:
        """From now on this folder, on this filesystem, is the root."""
        self.identity = _identity(self.path)
        self.mount = mount_of(self.path)

    def presence(self) -> Presence:
        """``away`` is a root that is gone, or one whose filesystem isn't mounted: the empty folder that a mount leaves
        behind is none. ``another`` is a new folder of that name, or a filesystem that was mounted anew."""
        found = _identity(self.path)
        if found is None:
            return "away"
        if found == self.identity and not self.is_away:
            return "there"
        mount = mount_of(self.path)
        if self.mount is not None and mount is not None and mount.point != self.mount.point:
            return "away" if len(mount.point) < len(self.mount.point) else "another"
        return "another"


def _identity(path: str) -> Identity | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
