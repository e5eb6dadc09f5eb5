"""The audit: who did what, to what, with which outcome. Never a value."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.callers import Caller
from rensei_platform.store.tables import audit


async def add_entry(
    db: AsyncConnection,
    caller: Caller,
    action: str,
    object_: str,
    now: datetime,
    **details: Any,
) -> None:
    """Store an entry."""
    await db.execute(
        insert(audit).values(
            org_id=caller.org_id,
            at=now,
            actor=caller.name,
            key_id=caller.key_id,
            action=action,
            object=object_,
            outcome="ok",
            address=caller.address,
            details=details or None,
        )
    )


async def latest(
    db: AsyncConnection, org_id: str, *, before: int | None, limit: int
) -> Sequence[RowMapping]:
    """Return the latest entries of an organization, newest first."""
    query = select(audit).where(audit.c.org_id == org_id)
    if before is not None:
        query = query.where(audit.c.seq < before)
    found = await db.execute(query.order_by(audit.c.seq.desc()).limit(limit))
    return found.mappings().all()
