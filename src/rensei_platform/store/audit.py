"""The audit: who did what, to what, with which outcome. Never a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.callers import Caller
from rensei_platform.store.tables import audit

OK, FAILED = "ok", "failed"
"""Outcomes of what was not refused."""


def entry(
    caller: Caller,
    action: str,
    object_: str,
    now: datetime,
    *,
    outcome: str = OK,
    **details: Any,
) -> dict[str, Any]:
    """Return the row of something that was done, or tried."""
    return {
        "org_id": caller.org_id,
        "at": now,
        "actor": caller.name,
        "key_id": caller.key_id,
        "action": action,
        "object": object_,
        "outcome": outcome,
        "address": caller.address,
        "details": details or None,
    }


async def add_entries(db: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store entries, of which there is at least one."""
    await db.execute(insert(audit), rows)


async def add_entry(
    db: AsyncConnection,
    caller: Caller,
    action: str,
    object_: str,
    now: datetime,
    **details: Any,
) -> None:
    """Store an entry."""
    await add_entries(db, [entry(caller, action, object_, now, **details)])


async def add_refusals(db: AsyncConnection, refusals: Sequence[Mapping[str, Any]]) -> None:
    """Store how often which requests were refused."""
    rows = [
        {
            "org_id": one["org_id"],
            "at": one["at"],
            "actor": one["actor"],
            "key_id": one["key_id"],
            "action": "request.refused",
            "object": one["action"],
            "outcome": f"refused {one['status']}",
            "count": one["count"],
            "address": one["address"],
        }
        for one in refusals
    ]
    await db.execute(insert(audit), rows)


async def prune(db: AsyncConnection, before: datetime, limit: int) -> int:
    """Remove the oldest entries if they are from before a time; return how many."""
    oldest = select(audit.c.seq, audit.c.at).order_by(audit.c.seq).limit(limit).subquery()
    removed = await db.execute(
        delete(audit).where(
            audit.c.seq.in_(select(oldest.c.seq).where(oldest.c.at < before))
        )
    )
    return removed.rowcount


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries are asked for."""

    before: int | None = None
    """Only older ones than this `seq`."""
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None


def latest_statement(org_id: str, wanted: Filter, limit: int) -> Select[Any]:
    """Return the query of the latest entries of an organization, newest first."""
    query = select(audit).where(audit.c.org_id == org_id)
    if wanted.before is not None:
        query = query.where(audit.c.seq < wanted.before)
    if wanted.actor is not None:
        query = query.where(audit.c.actor == wanted.actor)
    if wanted.action is not None:
        query = query.where(audit.c.action == wanted.action)
    if wanted.since is not None:
        query = query.where(audit.c.at >= wanted.since)
    return query.order_by(audit.c.seq.desc()).limit(limit)


async def latest(
    db: AsyncConnection, org_id: str, wanted: Filter, limit: int
) -> Sequence[RowMapping]:
    """Return the latest entries of an organization, newest first."""
    found = await db.execute(latest_statement(org_id, wanted, limit))
    rows: Sequence[RowMapping] = found.mappings().all()
    return rows
