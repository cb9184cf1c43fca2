"""Which filesystem a folder lies on, and whether other machines have a part in it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

MOUNT_TABLE = Path("/proc/self/mountinfo")

REMOTE = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "lustre",
        "gpfs",
        "afs",
        "beegfs",
        "ceph",
        "9p",
        "glusterfs",
        "orangefs",
        "ocfs2",
        "gfs2",
    }
)
"""Filesystems that other machines write to as well: the kernel here hears nothing of it, and locks may not hold."""


class Mount(NamedTuple):
    """A mounted filesystem: where, what kind, and of what."""

    point: str
    kind: str
    source: str

    @property
    def is_remote(self) -> bool:
        """FUSE's are as a rule (sshfs, s3fs, rclone)."""
        return self.kind in REMOTE or self.kind.startswith("fuse.") or self.kind == "fuse"


def mount_of(path: str, *, table: Path = MOUNT_TABLE) -> Mount | None:
    """The filesystem that an absolute path without links lies on; None where the system doesn't tell."""
    try:
        lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    best: Mount | None = None
    for line in lines:
        left, _, right = line.partition(" - ")
        point = _unescaped(left.split()[4])
        inside = path == point or path.startswith(f"{point.rstrip('/')}/")
        if inside and (best is None or len(point) >= len(best.point)):
            kind, source = right.split()[:2]
            best = Mount(point, kind, _unescaped(source))
    return best


def _unescaped(text: str) -> str:
    """Spaces and the like are written in octal there (``proc(5)``)."""
    for code, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, character)
    return text
