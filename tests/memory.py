"""What a process takes, as the kernel tells it (Linux)."""

from __future__ import annotations

from pathlib import Path


def peak_bytes() -> int:
    """The most resident memory of this program: ``ru_maxrss`` has that of the process it was forked from as well."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
