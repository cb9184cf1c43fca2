"""A row may depend on several files of one role: sources are keyed by role and path."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = "checkpoint_id, role, path, size_bytes, mtime_ns, inode"


def upgrade() -> None:
    op.create_table(
        "sources_by_path",
        sa.Column("checkpoint_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("mtime_ns", sa.Integer(), nullable=False),
        sa.Column("inode", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoints.id"], name="fk_sources_checkpoint_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("checkpoint_id", "role", "path", name="pk_sources"),
        sqlite_with_rowid=False,
    )
    op.execute(f"INSERT INTO sources_by_path ({COLUMNS}) SELECT {COLUMNS} FROM sources")
    op.drop_table("sources")
    op.rename_table("sources_by_path", "sources")
