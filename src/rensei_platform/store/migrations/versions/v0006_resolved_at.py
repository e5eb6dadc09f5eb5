"""Sets by when they were resolved: a clock that is set back finds those to come."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
serves_previous = True


def upgrade() -> None:
    """Create the index."""
    op.create_index(op.f("ix_resolved_sets_resolved_at"), "resolved_sets", ["resolved_at"])
