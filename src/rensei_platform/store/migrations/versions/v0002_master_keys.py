"""The ids of the master keys, and the audit by actor and by action."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
serves_previous = True


def upgrade() -> None:
    """Create the table, which the first server fills in, and the indexes."""
    op.create_table(
        "master_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_master_keys")),
    )
    for column in ("actor", "action"):
        op.create_index(
            op.f(f"ix_audit_org_id_{column}_seq"), "audit", ["org_id", column, "seq"]
        )
