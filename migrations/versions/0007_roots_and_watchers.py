"""The path of a root that is a checkpoint itself, and watchers in containers that share a host's name.

Frozen once it has landed: a change to the schema is a new revision.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROOT = "CASE r.path WHEN '/' THEN '' ELSE r.path END"
PATH = f"CASE c.rel_path WHEN '.' THEN r.path ELSE {ROOT} || '/' || c.rel_path END"


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

METRICS = f"""
CREATE VIEW checkpoint_metrics AS
SELECT m.checkpoint_id, {PATH} AS path, t.name, m.value, o.scope, o.tier AS source
FROM metrics m
JOIN metric_names t ON t.id = m.name_id
JOIN origins o ON o.id = m.origin_id
JOIN checkpoints c ON c.id = m.checkpoint_id
JOIN roots r ON r.id = c.root_id
WHERE m.live = 1
"""

PARAMS = f"""
CREATE VIEW checkpoint_params AS
SELECT c.id AS checkpoint_id, {PATH} AS path, p.name, p.value, p.type
FROM checkpoints c
JOIN param_set_groups g ON g.param_set_id = c.param_set_id
JOIN params p ON p.param_group_id = g.param_group_id
JOIN roots r ON r.id = c.root_id
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


VIEWS = {
    "checkpoint_overview": OVERVIEW,
    "checkpoint_metrics": METRICS,
    "checkpoint_params": PARAMS,
    "best_checkpoints": BEST,
}

COLUMNS = (
    "id, host, pid, roots, started_at, heartbeat_at, status, pid_namespace, queue, events, events_per_second, "
    "last_event_at, reconciled_at, polled, problems"
)


def upgrade() -> None:
    op.create_table(
        "watchers_by_namespace",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("roots", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("heartbeat_at", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("pid_namespace", sa.Text(), nullable=True),
        sa.Column("queue", sa.Integer(), nullable=True),
        sa.Column("events", sa.Integer(), nullable=True),
        sa.Column("events_per_second", sa.Float(), nullable=True),
        sa.Column("last_event_at", sa.Text(), nullable=True),
        sa.Column("reconciled_at", sa.Text(), nullable=True),
        sa.Column("polled", sa.Text(), nullable=True),
        sa.Column("problems", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_watchers"),
        sa.UniqueConstraint("host", "pid", "pid_namespace", name="uq_watchers_host_pid_pid_namespace"),
    )
    op.execute(f"INSERT INTO watchers_by_namespace ({COLUMNS}) SELECT {COLUMNS} FROM watchers")
    op.drop_table("watchers")
    op.rename_table("watchers_by_namespace", "watchers")
    for name, view in VIEWS.items():
        op.execute(f"DROP VIEW {name}")
        op.execute(view)
