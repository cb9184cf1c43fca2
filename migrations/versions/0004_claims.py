"""What a checkpoint is said to be (best, last), and its epoch as its framework counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OVERVIEW = """
CREATE VIEW checkpoint_overview AS
SELECT c.id, CASE r.path WHEN '/' THEN '' ELSE r.path END || '/' || c.rel_path AS path, r.path AS root, c.rel_path,
       c.format, c.size_bytes,
       strftime('%Y-%m-%dT%H:%M:%S', c.mtime_ns / 1000000000, 'unixepoch') || '+00:00' AS mtime,
       c.state, c.source, c.stale,
       c.exp_name, c.architecture, c.backbone, c.decoder, c.head, c.loss,
       c.epoch, c.global_step, c.max_epochs, c.training_phase, c.monitor, c.monitor_mode, c.created_at,
       c.config_path, c.wandb_run_id, c.precision, c.recall, c.hmean, c.validation_loss,
       c.num_parameters, c.num_tensors, c.weights_fingerprint, c.link_target, n.text AS note,
       c.claims, c.stated_epoch
FROM checkpoints c
JOIN roots r ON r.id = c.root_id
LEFT JOIN notes n ON n.checkpoint_id = c.id
WHERE c.state <> 'missing'
"""


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("claims", sa.Text(), nullable=True))
    op.add_column("checkpoints", sa.Column("stated_epoch", sa.Float(), nullable=True))
    op.execute("DROP VIEW checkpoint_overview")
    op.execute(OVERVIEW)
