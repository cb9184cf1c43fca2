"""The first schema: roots, checkpoints, metrics, params, provenance, the user's own facts, the run cache, watchers.

Frozen once it has landed: a change to the schema is a new revision.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CHECKPOINT_PATH = "CASE r.path WHEN '/' THEN '' ELSE r.path END || '/' || c.rel_path"

VIEWS = f"""
CREATE VIEW checkpoint_overview AS
SELECT c.id, {CHECKPOINT_PATH} AS path, r.path AS root, c.rel_path, c.format, c.size_bytes,
       strftime('%Y-%m-%dT%H:%M:%S', c.mtime_ns / 1000000000, 'unixepoch') || '+00:00' AS mtime,
       c.state, c.source, c.stale,
       c.exp_name, c.architecture, c.backbone, c.decoder, c.head, c.loss,
       c.epoch, c.global_step, c.max_epochs, c.training_phase, c.monitor, c.monitor_mode, c.created_at,
       c.config_path, c.wandb_run_id, c.precision, c.recall, c.hmean, c.validation_loss,
       c.num_parameters, c.num_tensors, c.weights_fingerprint, c.link_target, n.text AS note
FROM checkpoints c
JOIN roots r ON r.id = c.root_id
LEFT JOIN notes n ON n.checkpoint_id = c.id
WHERE c.state <> 'missing';

CREATE VIEW checkpoint_metrics AS
SELECT m.checkpoint_id, {CHECKPOINT_PATH} AS path, t.name, m.value, o.scope, o.tier AS source
FROM metrics m
JOIN metric_names t ON t.id = m.name_id
JOIN origins o ON o.id = m.origin_id
JOIN checkpoints c ON c.id = m.checkpoint_id
JOIN roots r ON r.id = c.root_id
WHERE m.live = 1;

CREATE VIEW checkpoint_params AS
SELECT c.id AS checkpoint_id, {CHECKPOINT_PATH} AS path, p.name, p.value, p.type
FROM checkpoints c
JOIN param_set_groups g ON g.param_set_id = c.param_set_id
JOIN params p ON p.param_group_id = g.param_group_id
JOIN roots r ON r.id = c.root_id
WHERE c.state <> 'missing';

CREATE VIEW best_checkpoints AS
SELECT exp_name, monitor, monitor_mode, value, checkpoint_id, path, epoch, global_step
FROM (
    SELECT c.exp_name, c.monitor, c.monitor_mode, m.value, c.id AS checkpoint_id,
           {CHECKPOINT_PATH} AS path, c.epoch, c.global_step,
           row_number() OVER (
               PARTITION BY c.exp_name, c.monitor, c.monitor_mode
               ORDER BY CASE c.monitor_mode WHEN 'max' THEN -m.value ELSE m.value END,
                        o.scope, c.global_step DESC, {CHECKPOINT_PATH}
           ) AS place
    FROM checkpoints c
    JOIN metric_names t ON t.name = c.monitor
    JOIN metrics m ON m.checkpoint_id = c.id AND m.name_id = t.id
    JOIN origins o ON o.id = m.origin_id
    JOIN roots r ON r.id = c.root_id
    WHERE c.state = 'ready' AND c.exp_name IS NOT NULL AND c.monitor_mode IS NOT NULL AND m.value IS NOT NULL
)
WHERE place = 1;

CREATE VIEW wandb_run_cache AS
SELECT entity, project, run_id, state, found, fetched_at, expires_at FROM wandb_runs;
"""


def upgrade() -> None:
    op.create_table(
        "metric_names",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_metric_names"),
        sa.UniqueConstraint("name", name="uq_metric_names_name"),
    )
    op.create_table(
        "origins",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_origins"),
        sa.UniqueConstraint("tier", "role", "path", "key", "scope", name="uq_origins_tier_role_path_key_scope"),
    )
    op.create_table(
        "param_groups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_param_groups"),
        sa.UniqueConstraint("digest", name="uq_param_groups_digest"),
    )
    op.create_table(
        "param_sets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_param_sets"),
        sa.UniqueConstraint("digest", name="uq_param_sets_digest"),
    )
    op.create_table(
        "provenance_sets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("origins", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_provenance_sets"),
        sa.UniqueConstraint("digest", name="uq_provenance_sets_digest"),
    )
    op.create_table(
        "roots",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("added_at", sa.Text(), nullable=False),
        sa.Column("scanned_at", sa.Text(), nullable=True),
        sa.Column("problems", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_roots"),
        sa.UniqueConstraint("path", name="uq_roots_path"),
    )
    op.create_table(
        "wandb_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("config", sa.Text(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("attributes", sa.Text(), nullable=True),
        sa.Column("history_complete", sa.Integer(), nullable=False),
        sa.Column("fetched_at", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_wandb_runs"),
        sa.UniqueConstraint("entity", "project", "run_id", name="uq_wandb_runs_entity_project_run_id"),
    )
    op.create_table(
        "watchers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("roots", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("heartbeat_at", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_watchers"),
        sa.UniqueConstraint("host", "pid", name="uq_watchers_host_pid"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("root_id", sa.Integer(), nullable=False),
        sa.Column("rel_path", sa.Text(), nullable=False),
        sa.Column("device", sa.Integer(), nullable=False),
        sa.Column("inode", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("mtime_ns", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Integer(), nullable=False),
        sa.Column("recheck", sa.Integer(), nullable=False),
        sa.Column("link_target", sa.Text(), nullable=True),
        sa.Column("format", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("stale", sa.Integer(), nullable=False),
        sa.Column("exp_name", sa.Text(), nullable=True),
        sa.Column("architecture", sa.Text(), nullable=True),
        sa.Column("backbone", sa.Text(), nullable=True),
        sa.Column("decoder", sa.Text(), nullable=True),
        sa.Column("head", sa.Text(), nullable=True),
        sa.Column("loss", sa.Text(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("global_step", sa.Integer(), nullable=True),
        sa.Column("max_epochs", sa.Integer(), nullable=True),
        sa.Column("training_phase", sa.Text(), nullable=True),
        sa.Column("monitor", sa.Text(), nullable=True),
        sa.Column("monitor_mode", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=True),
        sa.Column("config_path", sa.Text(), nullable=True),
        sa.Column("wandb_run_id", sa.Text(), nullable=True),
        sa.Column("precision", sa.Float(), nullable=True),
        sa.Column("recall", sa.Float(), nullable=True),
        sa.Column("hmean", sa.Float(), nullable=True),
        sa.Column("validation_loss", sa.Float(), nullable=True),
        sa.Column("num_parameters", sa.Integer(), nullable=True),
        sa.Column("num_tensors", sa.Integer(), nullable=True),
        sa.Column("dtypes", sa.Text(), nullable=True),
        sa.Column("weights_fingerprint", sa.Text(), nullable=True),
        sa.Column("param_set_id", sa.Integer(), nullable=True),
        sa.Column("provenance_set_id", sa.Integer(), nullable=True),
        sa.Column("problems", sa.Text(), nullable=True),
        sa.Column("resolved_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["param_set_id"], ["param_sets.id"], name="fk_checkpoints_param_set_id"),
        sa.ForeignKeyConstraint(["provenance_set_id"], ["provenance_sets.id"], name="fk_checkpoints_provenance_set_id"),
        sa.ForeignKeyConstraint(["root_id"], ["roots.id"], name="fk_checkpoints_root_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_checkpoints"),
        sa.UniqueConstraint("root_id", "rel_path", name="uq_checkpoints_root_id_rel_path"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_checkpoints_architecture", "checkpoints", ["architecture"], unique=False)
    op.create_index("ix_checkpoints_exp_name", "checkpoints", ["exp_name"], unique=False)
    op.create_index("ix_checkpoints_inode", "checkpoints", ["inode"], unique=False)
    op.create_index("ix_checkpoints_monitor", "checkpoints", ["monitor", "monitor_mode"], unique=False)
    op.create_index("ix_checkpoints_param_set_id", "checkpoints", ["param_set_id"], unique=False)
    op.create_table(
        "foreign_files",
        sa.Column("root_id", sa.Integer(), nullable=False),
        sa.Column("rel_path", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["root_id"], ["roots.id"], name="fk_foreign_files_root_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("root_id", "rel_path", name="pk_foreign_files"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "param_set_groups",
        sa.Column("param_set_id", sa.Integer(), nullable=False),
        sa.Column("param_group_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["param_group_id"], ["param_groups.id"], name="fk_param_set_groups_param_group_id"),
        sa.ForeignKeyConstraint(
            ["param_set_id"], ["param_sets.id"], name="fk_param_set_groups_param_set_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("param_set_id", "param_group_id", name="pk_param_set_groups"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_param_set_groups_param_group_id", "param_set_groups", ["param_group_id"], unique=False)
    op.create_table(
        "params",
        sa.Column("param_group_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("origin_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["origin_id"], ["origins.id"], name="fk_params_origin_id"),
        sa.ForeignKeyConstraint(
            ["param_group_id"], ["param_groups.id"], name="fk_params_param_group_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("param_group_id", "name", name="pk_params"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_params_by_value", "params", ["name", "value"], unique=False)
    op.create_table(
        "wandb_history",
        sa.Column("wandb_run_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["wandb_run_id"], ["wandb_runs.id"], name="fk_wandb_history_wandb_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("wandb_run_id", "step", name="pk_wandb_history"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "aliases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("checkpoint_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoints.id"], name="fk_aliases_checkpoint_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("name", name="pk_aliases"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_aliases_checkpoint_id", "aliases", ["checkpoint_id"], unique=False)
    op.create_table(
        "metrics",
        sa.Column("checkpoint_id", sa.Integer(), nullable=False),
        sa.Column("name_id", sa.Integer(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("origin_id", sa.Integer(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False),
        sa.Column("architecture", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoints.id"], name="fk_metrics_checkpoint_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["name_id"], ["metric_names.id"], name="fk_metrics_name_id"),
        sa.ForeignKeyConstraint(["origin_id"], ["origins.id"], name="fk_metrics_origin_id"),
        sa.PrimaryKeyConstraint("checkpoint_id", "name_id", name="pk_metrics"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_metrics_by_architecture", "metrics", ["name_id", "live", "architecture", "value"], unique=False)
    op.create_index("ix_metrics_by_value", "metrics", ["name_id", "live", "value"], unique=False)
    op.create_table(
        "notes",
        sa.Column("checkpoint_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoints.id"], name="fk_notes_checkpoint_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("checkpoint_id", name="pk_notes"),
    )
    op.create_table(
        "sources",
        sa.Column("checkpoint_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("mtime_ns", sa.Integer(), nullable=False),
        sa.Column("inode", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoints.id"], name="fk_sources_checkpoint_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("checkpoint_id", "role", name="pk_sources"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tags",
        sa.Column("checkpoint_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoints.id"], name="fk_tags_checkpoint_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("checkpoint_id", "key", name="pk_tags"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tags_key", "tags", ["key", "value"], unique=False)

    for statement in VIEWS.split(";"):
        if statement.strip():
            op.execute(statement)
