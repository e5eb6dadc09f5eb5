"""Statements about how many mutations came to which end on which day."""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.times import to_milliseconds
from rensei_platform.store.tables import outcome_counts

_PARTS = 8
"""Rows of one count: transactions that change different ones do not wait."""
_DAY = 86_400_000


def day_of(at: datetime) -> int:
    """Return the days since 1970 began; UTC."""
    return to_milliseconds(at) // _DAY


async def add(
    db: AsyncConnection, org_id: str, counts: Mapping[str, int], now: datetime
) -> None:
    """Add status -> count to those of the day."""
    part = random.randrange(_PARTS)  # noqa: S311 - not a secret
    rows = [
        {"org_id": org_id, "day": day_of(now), "status": status, "part": part, "count": n}
        for status, n in sorted(counts.items())
        if n
    ]
    if not rows:
        return
    dialect = postgresql if db.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(outcome_counts)
    await db.execute(
        statement.on_conflict_do_update(
            index_elements=list(outcome_counts.primary_key),
            set_={"count": outcome_counts.c.count + statement.excluded["count"]},
        ),
        rows,
    )


def since_statement(org_id: str, day: int) -> Select[Any]:
    """Return the query of the counts of each day from one on."""
    counts = outcome_counts
    return (
        select(counts.c.day, counts.c.status, func.sum(counts.c.count).label("total"))
        .where((counts.c.org_id == org_id) & (counts.c.day >= day))
        .group_by(counts.c.day, counts.c.status)
    )


async def since(db: AsyncConnection, org_id: str, day: int) -> Sequence[RowMapping]:
    """Return (day, status, total) from a day on."""
    found = await db.execute(since_statement(org_id, day))
    rows: Sequence[RowMapping] = found.mappings().all()
    return rows
