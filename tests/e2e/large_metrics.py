"""Scans a folder in a process of its own, and prints what it found and the most memory that took.

``VmHWM``, and not ``ru_maxrss``, which counts what the process was forked from.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from catalogdb import Catalog


def main() -> None:
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(sys.argv[1], workers=1)
        rows = {str(row.global_step): dict(row.metrics) for row in catalog.search("", max_results=None)}
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    json.dump({"rows": rows, "kilobytes": int(peak)}, sys.stdout)


if __name__ == "__main__":
    main()
