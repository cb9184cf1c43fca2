"""MLflow's own SQLite store with many runs, and what its ``search_runs`` takes there.

The runs have what the experiments of ``crowd.py`` have: ten metrics, and thirty params, the architecture among them.
They are put in by SQL, since logging them takes hours, into the schema that MLflow makes; ``ANALYZE`` is run on them.
"""

from __future__ import annotations

import logging
import sqlite3
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.crowd import COMMON, METRICS, OTHERS, PRIME, RARE, SPREAD

PARAMS = 30
AGAIN = 20
"""How often we are asked again for one of their answers."""

ROWS = f"""
CREATE TEMP TABLE n AS
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT :runs)
SELECT i, printf('%032x', i) AS run FROM n;

INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri,
                  experiment_id)
SELECT run, printf('exp_%05d', i), 'LOCAL', 'ada', 'FINISHED', 1790000000000 + i, 1790000001000 + i, 'active',
       '/data/outputs/' || run, 0 FROM n;

INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT m.value, ((i * {PRIME} + m.key * 7919) % {SPREAD}) / {SPREAD}.0, 1790000000000, 100, 0, run
FROM n, json_each(:metrics) m;

INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT key, value, timestamp, step, is_nan, run_uuid FROM latest_metrics;

INSERT INTO params (key, value, run_uuid)
SELECT 'architecture',
       CASE WHEN i % 10000 = 4999 THEN '{RARE}' WHEN i % 10 < 6 THEN '{COMMON}'
            ELSE (SELECT value FROM json_each(:others) WHERE key = i / 10 % {len(OTHERS)}) END, run FROM n;

INSERT INTO params (key, value, run_uuid)
WITH RECURSIVE p(j) AS (SELECT 1 UNION ALL SELECT j + 1 FROM p LIMIT {PARAMS - 1})
SELECT 'p' || j, CAST(i % 500 * j AS TEXT), run FROM n, p
"""


def measure(file: Path, runs: int, ours: Callable[[str], object]) -> dict[str, list[float]]:
    """Makes the store at ``file``; seconds of searches for the ten best of a common architecture there, and of ``ours``
    for the same metrics, in turn: when a metric is asked for the first time (``first``), and again."""
    logging.disable(logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow's own, of several kinds
        from mlflow import MlflowClient  # noqa: PLC0415  # of the development group

        client = MlflowClient(tracking_uri=f"sqlite:///{file}")
        client.search_experiments()
        _fill(file, runs)
        taken: dict[str, list[float]] = {"theirs": [], "first": [], "again": []}
        for metric in METRICS:
            theirs, asked = partial(_search, client, metric), partial(ours, metric)
            taken["theirs"].append(_seconds(theirs))
            taken["first"].append(_seconds(asked))
            taken["again"] += [_seconds(asked) for _ in range(AGAIN)]
        return {"theirs": taken["theirs"][1:], "first": taken["first"][1:], "again": taken["again"][AGAIN:]}


def _seconds(ask: Callable[[], object]) -> float:
    start = time.perf_counter()
    ask()
    return time.perf_counter() - start


def _fill(file: Path, runs: int) -> None:
    listed = {"metrics": METRICS, "others": OTHERS}
    values = {"runs": runs, **{name: '["' + '", "'.join(items) + '"]' for name, items in listed.items()}}
    raw = sqlite3.connect(file, isolation_level=None)
    raw.execute("PRAGMA synchronous = OFF")
    raw.execute("BEGIN")
    for statement in ROWS.split(";"):
        raw.execute(statement, {name: value for name, value in values.items() if f":{name}" in statement})
    raw.execute("COMMIT")
    raw.execute("ANALYZE")
    raw.close()


def _search(client: Any, metric: str) -> None:
    found = client.search_runs(
        ["0"], f"params.architecture = '{COMMON}'", order_by=[f"metrics.`{metric}` DESC"], max_results=10
    )
    values = [run.data.metrics[metric] for run in found]
    assert len(found) == 10
    assert values == sorted(values, reverse=True)
