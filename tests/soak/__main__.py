"""``make soak``: twenty minutes of anything that may happen to a root, with a watcher beside it.

python -m tests.soak [--minutes 20] [--write]
"""

from __future__ import annotations

import argparse
import platform
import re
import sqlite3
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from tests.soak.run import Outcome, soak

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BETWEEN = re.compile(r"(?<=<!-- soak -->\n).*(?=<!-- end -->)", re.DOTALL)


def told(outcome: Outcome) -> str:
    """The outcome as Markdown."""
    warm, last = outcome.warm, outcome.last
    rows = [
        ("memory, MB", f"{warm.megabytes:.1f}", f"{last.megabytes:.1f}"),
        ("threads", warm.threads, last.threads),
        ("descriptors", warm.descriptors, last.descriptors),
        ("watches beyond the folders that are there", warm.watches, last.watches),
    ]
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(outcome.operations.items()))
    lines = [
        f"{outcome.seconds / 60:.1f} minutes on {time.strftime('%Y-%m-%d')} (Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, watchdog {version('watchdog')}): "
        f"{sum(outcome.operations.values()):,} operations, {outcome.checks:,} comparisons with a fresh "
        "scan, no difference.",
        "",
        "| held by the watcher | after the warm-up | at the end |",
        "|---|---|---|",
        *(f"| {name} | {before} | {after} |" for name, before, after in rows),
        "",
        f"The most memory it held in between was {outcome.peak_megabytes:.1f} MB ({outcome.measures:,} measures, all "
        f"at moments of rest). Operations: {counts}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--write", action="store_true", help="put the outcome into docs/reliability.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="catalogdb-soak-") as folder:
        text = told(soak(Path(folder).resolve(), 60 * options.minutes))
    sys.stdout.write(text)
    if options.write:
        PAGE.write_text(BETWEEN.sub(lambda _: text, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
