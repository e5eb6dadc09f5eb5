"""What no request needs any more once it is old: removed, a batch a transaction."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Column, Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.store.tables import (
    console_sessions,
    idempotency_keys,
    replicas,
    rotation_replicas,
    session_scopes,
    uptake,
)

KEPT: Mapping[Column[datetime], timedelta] = {
    # Beyond these times nothing reads them: see `IDEMPOTENT_FOR`, `confirm_seconds`,
    # `MISSED_READS`.
    idempotency_keys.c.created_at: timedelta(days=2),
    console_sessions.c.expires_at: timedelta(0),
    rotation_replicas.c.at: timedelta(days=1),
    replicas.c.seen_at: timedelta(days=1),
    # A live session takes a snapshot every hour. A session that has ended is known until
    # its snapshots are gone, or receipts would take those for a stranger's.
    session_scopes.c.snapshot_at: timedelta(days=7),
    uptake.c.ended_at: timedelta(days=8),
}
"""For how long rows are kept, by the column of their time; with null they stay."""


async def is_any_older(
    db: AsyncConnection, column: Column[datetime], before: datetime
) -> bool:
    """Whether there is a row from before a time."""
    found = await db.execute(select(column).where(column < before).limit(1))
    return found.first() is not None


async def prune_older(
    db: AsyncConnection, column: Column[datetime], before: datetime, limit: int
) -> int:
    """Remove rows from before a time, at most so many; return how many."""
    table: Table = column.table
    key = tuple(table.primary_key.columns)
    old = select(*key).where(column < before).limit(limit)
    removed = await db.execute(delete(table).where(tuple_(*key).in_(old)))
    return removed.rowcount
