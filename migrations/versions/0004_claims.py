"""What a checkpoint is said to be (best, last), and its epoch as its framework counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("claims", sa.Text(), nullable=True))
    op.add_column("checkpoints", sa.Column("stated_epoch", sa.Float(), nullable=True))
