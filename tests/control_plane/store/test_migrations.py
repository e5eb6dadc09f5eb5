"""Migrations keep what is there."""

from schemas import make_schema
from sqlalchemy import URL, NullPool, create_engine, select, text

from rensei_platform.store.schema import migrate
from rensei_platform.store.tables import outcome_counts

DAY = 86_400_000
ORG = "INSERT INTO orgs (id, name, created_at) VALUES ('o', 'O', 0)"
HOST = "INSERT INTO hosts (id, org_id, hostname, created_at) VALUES ('h', 'o', 'b', 0)"
MUTATION = (
    "INSERT INTO mutations (host_id, seq, id, org_id, op, params, size, status, "
    "requested_by, created_at, decided_at, cancelled_at) VALUES "
    "('h', :seq, :id, 'o', 'x', '{}', 2, :status, 'a', 0, :decided, :cancelled)"
)


def test_outcomes_from_before_are_counted(empty_database: URL) -> None:
    """By the day they were decided on, once; what is undecided is not."""
    make_schema(empty_database, "0003")
    rows = [
        ("applied", 3 * DAY, None),
        ("applied", 3 * DAY + 1, None),
        ("failed", 3 * DAY, None),
        ("cancelled", None, 4 * DAY - 1),
        ("pending", None, None),
    ]
    engine = create_engine(empty_database, poolclass=NullPool)
    with engine.begin() as db:
        db.execute(text(ORG))
        db.execute(text(HOST))
        for seq, (status, decided, cancelled) in enumerate(rows):
            values = {"seq": seq, "id": f"m{seq}", "status": status}
            times = {"decided": decided, "cancelled": cancelled}
            db.execute(text(MUTATION), values | times)
    migrate(empty_database)
    counts = outcome_counts.c
    with engine.connect() as db:
        found = db.execute(select(counts.day, counts.status, counts["count"])).all()
    engine.dispose()
    expected = [(3, "applied", 2), (3, "cancelled", 1), (3, "failed", 1)]
    assert sorted(tuple(row) for row in found) == expected
