"""Scans a folder in a process of its own, and prints what it found and the most memory that took."""

from __future__ import annotations

import json
import sys

from catalogdb import Catalog
from tests.memory import peak_bytes


def main() -> None:
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(sys.argv[1], workers=1)
        rows = {str(row.global_step): dict(row.metrics) for row in catalog.search("", max_results=None)}
    json.dump({"rows": rows, "bytes": peak_bytes()}, sys.stdout)


if __name__ == "__main__":
    main()
