"""What the console keeps of its sessions, hosts in the order of their names, and counts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
serves_previous = True


def upgrade() -> None:
    """Add the columns, the index and the table, and count what is decided already."""
    op.add_column("console_sessions", sa.Column("seen_at", sa.BigInteger()))
    op.add_column("console_sessions", sa.Column("key_id", sa.Text()))
    op.create_index(
        op.f("ix_console_sessions_key_id"), "console_sessions", ["key_id"], unique=False
    )
    if op.get_bind().dialect.name == "postgresql":
        # One order of names on every database, in which a prefix is a range.
        op.execute('ALTER TABLE hosts ALTER COLUMN hostname TYPE text COLLATE "C"')
    op.create_index(
        op.f("ix_hosts_org_id_hostname_id"), "hosts", ["org_id", "hostname", "id"]
    )
    op.drop_index(op.f("ix_hosts_org_id_hostname"), "hosts")
    op.create_table(
        "outcome_counts",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id"], ["orgs.id"], name=op.f("fk_outcome_counts_org_id_orgs")
        ),
        sa.PrimaryKeyConstraint(
            "org_id", "day", "status", "part", name=op.f("pk_outcome_counts")
        ),
    )
    op.execute(
        "INSERT INTO outcome_counts (org_id, day, status, part, count) "
        "SELECT org_id, coalesce(decided_at, cancelled_at) / 86400000 AS day, status, 0, "
        "count(*) FROM mutations WHERE coalesce(decided_at, cancelled_at) IS NOT NULL "
        "GROUP BY org_id, coalesce(decided_at, cancelled_at) / 86400000, status"
    )
