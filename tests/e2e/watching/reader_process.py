"""Asks a catalog without pause while others write it, and says how often: ``python -m … DATABASE SECONDS FILES``.

It ends with a traceback where a question fails, or where an answer holds half of what was written at once.
"""

from __future__ import annotations

import sys
import time

from catalogdb import Catalog
from catalogdb.settings import Settings

TORN = """
SELECT o.path, o.exp_name, o.hmean, m.value FROM checkpoint_overview o
JOIN checkpoint_metrics m ON m.checkpoint_id = o.id AND m.name = 'val/hmean'
WHERE o.hmean <> m.value OR o.exp_name <> printf('gen-%d', round(m.value * 1000))
"""
"""A sidecar says its number three times: in a column, in a metric, and in the experiment's name."""


def ask(catalog: Catalog, files: int) -> None:
    """One round: every answer is of one state, so what it says together must belong together.

    A folder that is moved is seen here or there, or for a moment nowhere, never in part.
    """
    rows = catalog.search("", max_results=None)
    for row in rows:
        assert row.exp_name == f"gen-{round(row.metrics['val/hmean'] * 1000)}", (row.path, row.exp_name, row.metrics)
        assert row.hmean == row.metrics["val/hmean"], (row.path, row.hmean, row.metrics)
    moving = sorted(row.rel_path.partition("/")[0] for row in rows if row.rel_path.startswith("moving"))
    assert moving in ([], ["moving-a"] * files, ["moving-b"] * files), moving
    assert list(catalog.sql(TORN).rows) == []
    best = catalog.best("val/hmean")
    assert best is not None
    assert catalog.get(best.id).id == best.id
    assert catalog.count("metrics.`val/hmean` > 0") % files == catalog.count("hmean > 0") % files == 0


def main(database: str, seconds: float, files: int) -> None:
    url = f"sqlite:///{database}"
    rounds, ends = 0, time.monotonic() + seconds
    while time.monotonic() < ends:
        with Catalog.open(url, settings=Settings(url=url)) as catalog:
            for _ in range(10):
                ask(catalog, files)
                rounds += 1
    sys.stdout.write(f"{rounds}\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
