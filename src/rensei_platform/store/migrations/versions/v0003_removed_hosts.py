"""Hosts that were removed, and when each worker was seen last."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
serves_previous = True


def upgrade() -> None:
    """Add the columns. Both are null for what is there already."""
    op.add_column("hosts", sa.Column("removed_at", sa.BigInteger(), nullable=True))
    op.add_column("workers", sa.Column("seen_at", sa.BigInteger(), nullable=True))
