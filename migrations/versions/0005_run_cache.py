"""The run cache by server, with attributes, answers to what checkpoints need, files, claims and use.

Frozen once it has landed: a change to the schema is a new revision.

Runs are carried over as the public server's. Their history rows were kept by W&B's step, which says nothing about a
checkpoint: they are asked for again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

VIEW = """
CREATE VIEW wandb_run_cache AS
SELECT entity, project, run_id, state, found, fetched_at, expires_at FROM wandb_runs
"""


def upgrade() -> None:
    op.execute("DROP VIEW wandb_run_cache")
    op.execute("DROP TABLE wandb_history")
    op.rename_table("wandb_runs", "old_wandb_runs")
    op.create_table(
        "wandb_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("forbidden", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("config", sa.Text(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("attributes", sa.Text(), nullable=True),
        sa.Column("fetched_at", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_wandb_runs"),
        sa.UniqueConstraint(
            "base_url", "entity", "project", "run_id", name="uq_wandb_runs_base_url_entity_project_run_id"
        ),
    )
    op.create_index("ix_wandb_runs_run_id", "wandb_runs", ["run_id"], unique=False)
    op.execute(
        "INSERT INTO wandb_runs (id, base_url, entity, project, run_id, found, forbidden, state, config, summary, "
        "attributes, fetched_at, expires_at) SELECT id, 'https://api.wandb.ai', entity, project, run_id, found, 0, "
        "state, config, summary, attributes, fetched_at, expires_at FROM old_wandb_runs"
    )
    op.drop_table("old_wandb_runs")
    op.create_table(
        "wandb_history",
        sa.Column("wandb_run_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["wandb_run_id"], ["wandb_runs.id"], name="fk_wandb_history_wandb_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("wandb_run_id", "key", "at", name="pk_wandb_history"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "wandb_files",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("mtime_ns", sa.Integer(), nullable=False),
        sa.Column("inode", sa.Integer(), nullable=False),
        sa.Column("device", sa.Integer(), nullable=False),
        sa.Column("read_to", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_wandb_files"),
    )
    op.create_table(
        "wandb_claims",
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("base_url", "entity", "project", "run_id", name="pk_wandb_claims"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "wandb_use",
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("misses", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("base_url", "entity", "project", name="pk_wandb_use"),
        sqlite_with_rowid=False,
    )
    op.execute(VIEW)
    op.add_column("checkpoints", sa.Column("recheck_at", sa.Text(), nullable=True))
