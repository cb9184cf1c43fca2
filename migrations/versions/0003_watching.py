"""Watching: a watcher's heartbeat says more, and rows are found by what they link to and depend on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("pid_namespace", sa.Text(), nullable=True),
        sa.Column("queue", sa.Integer(), nullable=True),
        sa.Column("events", sa.Integer(), nullable=True),
        sa.Column("events_per_second", sa.Float(), nullable=True),
        sa.Column("last_event_at", sa.Text(), nullable=True),
        sa.Column("reconciled_at", sa.Text(), nullable=True),
        sa.Column("polled", sa.Text(), nullable=True),
        sa.Column("problems", sa.Text(), nullable=True),
    ):
        op.add_column("watchers", column)
    op.create_index(
        "ix_checkpoints_link_target",
        "checkpoints",
        ["link_target"],
        unique=False,
        sqlite_where=sa.text("link_target IS NOT NULL"),
    )
    op.create_index("ix_sources_path", "sources", ["path"], unique=False, sqlite_where=sa.text("role <> 'sidecar'"))
