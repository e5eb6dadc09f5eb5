"""Which programs a schema serves, and which schema each server knows."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
serves_previous = True


def upgrade() -> None:
    """Create the table, which each migration fills in, and add the column."""
    op.create_table(
        "schema_steps",
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=True),
        sa.Column("serves_previous", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_schema_steps")),
    )
    op.add_column("replicas", sa.Column("schema", sa.Text(), nullable=True))
