"""Statements about the servers that share a database, and what each has notified.

What only PostgreSQL has several servers for is written for it alone. Times are the
database's, since the servers' clocks differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Select, cast, delete, func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.store.tables import orgs, replicas, rotation_replicas, rotations

_NOTIFY = text("SELECT pg_notify(:channel, :payload)")
_NOW = cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
MOST_ROTATIONS = 100
_MOST_IN_A_QUERY = 1000
FORGOTTEN_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRotation:
    """What every server has to know of a rotation."""

    id: str
    org_id: str
    kind: str
    version: int
    rotated_at: datetime


def rotations_statement(org_id: str, since: int) -> Select[Any]:
    """Return the query of an organization's rotations after a version, oldest first."""
    return (
        select(*(rotations.c[name] for name in StoredRotation.__dataclass_fields__))
        .where((rotations.c.org_id == org_id) & (rotations.c.version > since))
        .order_by(rotations.c.version)
        .limit(MOST_ROTATIONS)
    )


async def rotations_since(
    db: AsyncConnection, org_id: str, since: int
) -> list[StoredRotation]:
    """Return the next rotations of an organization after a version, oldest first."""
    found = await db.execute(rotations_statement(org_id, since))
    return [StoredRotation(**row) for row in found.mappings()]


def versions_statement(org_ids: Sequence[str]) -> Select[Any]:
    """Return the query of the versions of some organizations' values."""
    return select(orgs.c.id, orgs.c.values_version).where(orgs.c.id.in_(org_ids))


async def versions(db: AsyncConnection, org_ids: Sequence[str]) -> dict[str, int]:
    """Return the version of each organization's values."""
    found: dict[str, int] = {}
    for begin in range(0, len(org_ids), _MOST_IN_A_QUERY):
        part = org_ids[begin : begin + _MOST_IN_A_QUERY]
        rows = await db.execute(versions_statement(part))
        found |= {row.id: row.values_version for row in rows}
    return found


# ---- PostgreSQL alone --------------------------------------------------------------------


async def notify(db: AsyncConnection, channel: str, payload: str) -> None:
    """Send a notification to every connection that listens."""
    await db.execute(_NOTIFY, {"channel": channel, "payload": payload})


async def note_replica(
    db: AsyncConnection, replica_id: str, version: str, schema: str, stream_count: int
) -> None:
    """Store that a server is there now."""
    row = {"id": replica_id, "version": version, "schema": schema, "started_at": _NOW}
    seen = {"seen_at": _NOW, "stream_count": stream_count}
    statement = postgresql.insert(replicas).values(**row, **seen)
    await db.execute(statement.on_conflict_do_update(index_elements=["id"], set_=seen))


async def remove_replica(db: AsyncConnection, replica_id: str) -> None:
    """Remove a server that stops, and those that have long been gone."""
    age = FORGOTTEN_AFTER // timedelta(milliseconds=1)
    gone = cast(replicas.c.seen_at, BigInteger) < _NOW - age
    await db.execute(delete(replicas).where((replicas.c.id == replica_id) | gone))


async def others(
    db: AsyncConnection, replica_id: str, within: timedelta
) -> dict[str, datetime]:
    """Return the other servers that are there: (id -> when each was seen last)."""
    since = _NOW - within // timedelta(milliseconds=1)
    found = await db.execute(
        select(replicas.c.id, replicas.c.seen_at).where(
            (replicas.c.id != replica_id) & (cast(replicas.c.seen_at, BigInteger) >= since)
        )
    )
    return {row.id: row.seen_at for row in found}


async def confirm(db: AsyncConnection, replica_id: str, counts: Mapping[str, int]) -> None:
    """Store how many sessions a server has notified of rotations: the first count stays."""
    rows = [
        {"rotation_id": id_, "replica_id": replica_id, "session_count": count, "at": _NOW}
        for id_, count in counts.items()
    ]
    statement = postgresql.insert(rotation_replicas).values(rows)
    await db.execute(statement.on_conflict_do_nothing())


async def confirmations(db: AsyncConnection, rotation_id: str) -> dict[str, int]:
    """Return how many sessions each other server has notified of a rotation."""
    found = await db.execute(
        select(rotation_replicas.c.replica_id, rotation_replicas.c.session_count).where(
            rotation_replicas.c.rotation_id == rotation_id
        )
    )
    return {row.replica_id: row.session_count for row in found}
