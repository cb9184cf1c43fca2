"""Views whose paths are all absolute, a best checkpoint whose value is finite, and an index of what isn't ready.

Frozen once it has landed: a change to the schema is a new revision.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROOT = "CASE r.path WHEN '/' THEN '' ELSE r.path END"
PATH = f"{ROOT} || '/' || c.rel_path"


def absolute(column: str) -> str:
    """Of a path that is stored relative to the root where it lies inside."""
    return f"CASE substr({column}, 1, 1) WHEN '/' THEN {column} ELSE {ROOT} || '/' || {column} END"


OVERVIEW = f"""
CREATE VIEW checkpoint_overview AS
SELECT c.id, {PATH} AS path, r.path AS root, c.rel_path, c.format, c.size_bytes,
       strftime('%Y-%m-%dT%H:%M:%S', c.mtime_ns / 1000000000, 'unixepoch') || '+00:00' AS mtime,
       c.state, c.source, c.stale,
       c.exp_name, c.architecture, c.backbone, c.decoder, c.head, c.loss,
       c.epoch, c.global_step, c.max_epochs, c.training_phase, c.monitor, c.monitor_mode, c.created_at,
       {absolute("c.config_path")} AS config_path, c.wandb_run_id,
       c.precision, c.recall, c.hmean, c.validation_loss,
       c.num_parameters, c.num_tensors, c.weights_fingerprint, {absolute("c.link_target")} AS link_target,
       n.text AS note, c.claims, c.stated_epoch
FROM checkpoints c
JOIN roots r ON r.id = c.root_id
LEFT JOIN notes n ON n.checkpoint_id = c.id
WHERE c.state <> 'missing'
"""

BEST = f"""
CREATE VIEW best_checkpoints AS
SELECT exp_name, monitor, monitor_mode, value, checkpoint_id, path, epoch, global_step
FROM (
    SELECT c.exp_name, c.monitor, c.monitor_mode, m.value, c.id AS checkpoint_id,
           {PATH} AS path, c.epoch, c.global_step,
           row_number() OVER (
               PARTITION BY c.exp_name, c.monitor, c.monitor_mode
               ORDER BY CASE c.monitor_mode WHEN 'max' THEN -m.value ELSE m.value END,
                        o.scope, c.global_step DESC, {PATH}
           ) AS place
    FROM checkpoints c
    JOIN metric_names t ON t.name = c.monitor
    JOIN metrics m ON m.checkpoint_id = c.id AND m.name_id = t.id
    JOIN origins o ON o.id = m.origin_id
    JOIN roots r ON r.id = c.root_id
    WHERE c.state = 'ready' AND c.exp_name IS NOT NULL AND c.monitor_mode IS NOT NULL
          AND m.value BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308
)
WHERE place = 1
"""


def upgrade() -> None:
    for name, view in (("checkpoint_overview", OVERVIEW), ("best_checkpoints", BEST)):
        op.execute(f"DROP VIEW {name}")
        op.execute(view)
    op.create_index(
        "ix_checkpoints_not_ready", "checkpoints", ["state"], unique=False, sqlite_where=sa.text("state <> 'ready'")
    )
