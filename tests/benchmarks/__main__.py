"""``make bench``: ratios to baselines that are measured in the same run.

python -m tests.benchmarks [--only scans large memory] [--write] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sqlite3
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.callback import callback
from tests.benchmarks.headers import headers
from tests.benchmarks.layouts import layouts
from tests.benchmarks.queries import queries
from tests.benchmarks.run import BENCHMARKS, REPOSITORY, Row, Sizes, table
from tests.benchmarks.wandb_runs import wandb_runs
from tests.benchmarks.watching import watching_rows

BENCHMARKS["headers"] = headers
BENCHMARKS["callback"] = callback
BENCHMARKS["layouts"] = layouts
BENCHMARKS["wandb"] = wandb_runs
BENCHMARKS["watching"] = watching_rows
BENCHMARKS["queries"] = queries
PAGE = REPOSITORY / "docs" / "benchmarks.md"
BETWEEN = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end -->)", re.DOTALL)


def _taken(sizes: Sizes, spent: float) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "PyYAML", "pydantic", "SQLAlchemy"))
    return (
        f"Taken on {time.strftime('%Y-%m-%d')}: Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{versions}; {os.cpu_count()} shared cores; medians of {sizes.repeats} runs or more; {spent:.0f} s in all."
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Ratios, measured in one run.")
    parser.add_argument("--only", nargs="+", choices=sorted(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    parser.add_argument("--folder", type=Path, default=None, help="where the trees go; 11 GB, the system's default")
    for name, value in vars(Sizes()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    sizes = Sizes(**{name: getattr(options, name) for name in vars(Sizes())})
    began = time.perf_counter()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="catalogdb-bench-") as folder:
        for name in options.only:
            for row in BENCHMARKS[name](Path(folder), sizes):
                rows.append(row)
                print(f"{row.name}: {row.ours} / {row.baseline}: {row.ratio}", file=sys.stderr)
    text = f"{table(rows)}\n\n{_taken(sizes, time.perf_counter() - began)}\n"
    print(text)
    if options.write:
        PAGE.write_text(BETWEEN.sub(lambda _: text, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0 if all(row.ok is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
