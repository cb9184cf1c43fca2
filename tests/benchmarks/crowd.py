"""A catalog of any size, made by SQL alone: the rows a scan would have written, in the real schema.

    python -m tests.benchmarks.crowd FILE [--checkpoints 1000000]

Fifty checkpoints to an experiment, ten metrics to a checkpoint, thirty parameters to a run. Parameters are
content-addressed as a scan stores them: ten are the model's and ten the optimizer's, which many runs share, ten are the
run's own. Values are spread by multiplication with a large prime, so that every run makes the same file.

The secondary indexes are dropped first and made last, which is what makes it quick; nothing else differs from a scan.
"""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path

from catalogdb.catalog import Catalog

PER_EXPERIMENT = 50
METRICS = (
    "val/hmean",
    "val/precision",
    "val/recall",
    "val/loss",
    "train/loss",
    "val/acc",
    "val/f1",
    "val/iou",
    "lr",
    "grad_norm",
)
COMMON, RARE, ABSENT = "dbnet", "parseq", "craft"
OTHERS = ("pan", "psenet", "crnn", "svtr", "vitstr", "abinet", "master", "sar")
PRIME = 2654435761
SPREAD = 1000003

ROWS = f"""
INSERT INTO roots (id, path, added_at, scanned_at) VALUES (1, '/data/outputs', :at, :at);

WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {len(METRICS)})
INSERT INTO origins (id, tier, role, path, key, scope) SELECT i, 'yaml', 'sidecar', '', 'metrics.' || i, 'checkpoint'
FROM n;
INSERT INTO origins (id, tier, role, path, key, scope)
VALUES (11, 'yaml', 'sidecar', '', 'training', 'checkpoint'), (12, 'legacy', 'config', '../config.yaml', 'x', 'run');

INSERT INTO provenance_sets (id, digest, origins) VALUES (1, 'p', json_object(
    'exp_name', 12, 'architecture', 12, 'epoch', 11, 'global_step', 11, 'max_epochs', 12, 'monitor', 11,
    'monitor_mode', 11, 'created_at', 11, 'hmean', 11, 'wandb_run_id', 12));

CREATE TEMP TABLE runs AS
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT :runs)
SELECT i AS run, i + 1 AS set_id,
       CASE WHEN i % 10000 = 4999 THEN '{RARE}' WHEN i % 10 < 6 THEN '{COMMON}'
            ELSE (SELECT value FROM json_each(:others) WHERE key = i / 10 % {len(OTHERS)}) END AS architecture,
       i / 10 % 50 AS model, i / 10 % 500 AS optimizer
FROM n;

INSERT INTO param_sets (id, digest) SELECT set_id, 's' || set_id FROM runs;
INSERT INTO param_groups (id, digest) SELECT 1 + model, 'm' || model FROM runs GROUP BY model;
INSERT INTO param_groups (id, digest) SELECT 101 + optimizer, 'o' || optimizer FROM runs GROUP BY optimizer;
INSERT INTO param_groups (id, digest) SELECT 1001 + run, 'r' || run FROM runs;
INSERT INTO param_set_groups (param_set_id, param_group_id)
SELECT set_id, g FROM (
    SELECT set_id, 1 + model AS g FROM runs UNION ALL SELECT set_id, 101 + optimizer FROM runs
    UNION ALL SELECT set_id, 1001 + run FROM runs) ORDER BY 1, 2;

WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 10)
INSERT INTO params (param_group_id, name, type, value, origin_id)
SELECT g, name, type, value, 12 FROM (
    SELECT DISTINCT 1 + model AS g, 'model.p' || i AS name, 'int' AS type, model * (i + 1) AS value FROM runs, n
    UNION ALL
    SELECT DISTINCT 101 + optimizer, CASE i WHEN 0 THEN 'optimizer.lr' ELSE 'optimizer.p' || i END, 'float',
           (optimizer % 10 + 1) / 1000.0 * (i + 1) FROM runs, n
    UNION ALL
    SELECT 1001 + run, CASE i WHEN 0 THEN 'seed' WHEN 1 THEN 'host' ELSE 'run.p' || i END,
           CASE i WHEN 1 THEN 'str' ELSE 'int' END, CASE i WHEN 1 THEN 'node' || run % 64 ELSE run + i * 1000 END
    FROM runs, n) ORDER BY 1, 2;

WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT {PER_EXPERIMENT})
INSERT INTO checkpoints (
    id, root_id, rel_path, device, inode, size_bytes, mtime_ns, fingerprint, recheck, format, state, source, stale,
    exp_name, architecture, backbone, epoch, global_step, max_epochs, training_phase, monitor, monitor_mode, created_at,
    config_path, wandb_run_id, hmean, num_parameters, num_tensors, dtypes, weights_fingerprint, param_set_id,
    provenance_set_id, resolved_at)
SELECT run * {PER_EXPERIMENT} + i + 1, 1, printf('exp_%05d/checkpoints/epoch=%02d.ckpt', run, i), 1,
       run * {PER_EXPERIMENT} + i + 1, 113000000, 1790000000000000000 + run * 1000000000, run * 64 + i, 0, 'torch_zip',
       'ready', 'yaml', 0, printf('exp_%05d', run), architecture, 'resnet18', i, (i + 1) * 100, {PER_EXPERIMENT},
       'training', 'val/hmean', 'max', '2026-10-01T12:00:00+00:00', printf('exp_%05d/config.yaml', run),
       printf('run%05d', run), ((run * {PER_EXPERIMENT} + i + 1) * {PRIME} % {SPREAD}) / {SPREAD}.0,
       12000000, 140, '{{"float32": 12000000}}',
       printf('crc32:%016x', (run * {PER_EXPERIMENT} + i + 1) * {PRIME}), set_id, 1, :at
FROM runs, n ORDER BY run, i;

INSERT INTO metrics (checkpoint_id, name_id, value, origin_id, live, architecture)
SELECT c.id, n.id, ((c.id * {PRIME} + (n.id - 1) * 7919) % {SPREAD}) / {SPREAD}.0, n.id, 1, c.architecture
FROM checkpoints c NOT INDEXED CROSS JOIN metric_names n ORDER BY c.id, n.id;

DROP TABLE temp.runs;
"""


def build(file: Path, checkpoints: int) -> None:
    """Makes a catalog of so many checkpoints at ``file``, with statistics as a scan leaves them."""
    Catalog.open(file).close()
    raw = sqlite3.connect(file, isolation_level=None)
    raw.execute("PRAGMA journal_mode = OFF")
    raw.execute("PRAGMA synchronous = OFF")
    raw.execute("PRAGMA cache_size = -524288")
    raw.execute("PRAGMA temp_store = MEMORY")
    indexes = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    values = {
        "runs": checkpoints // PER_EXPERIMENT,
        "at": "2026-11-24T12:00:00+00:00",
        "others": '["' + '", "'.join(OTHERS) + '"]',
    }
    for name, _ in indexes:
        raw.execute(f"DROP INDEX {name}")
    raw.executemany("INSERT INTO metric_names (name) VALUES (?)", [(name,) for name in METRICS])
    for statement in ROWS.split(";"):
        if statement.strip():
            named = {name: value for name, value in values.items() if f":{name}" in statement}
            raw.execute(statement, named)
    for _, sql in indexes:
        raw.execute(sql)
    raw.execute("PRAGMA analysis_limit = 1000")
    raw.execute("ANALYZE")
    raw.execute("PRAGMA journal_mode = WAL")
    raw.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--checkpoints", type=int, default=1_000_000)
    options = parser.parse_args()
    build(options.file, options.checkpoints)


if __name__ == "__main__":
    main()
