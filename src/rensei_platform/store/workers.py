"""Statements about workers: what a host registers as, and beats with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Select,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.reports import REPORTED
from rensei_platform.store.engine import Store
from rensei_platform.store.tables import UNDECIDED, hosts, keys, mutations, workers

MIRROR = tuple(REPORTED.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A registered worker, and its host as far as a heartbeat needs it."""

    id: str
    org_id: str
    host_id: str
    key_id: str
    """The key that it speaks with now, or had its token for."""
    is_key_valid: bool
    mirror: Mapping[str, Any]
    host_status: Mapping[str, Any] | None
    has_reported: bool
    """Whether it has ever said which values its sessions hold."""
    is_owed: bool
    """Whether a mutation waits for it."""
    replaced_at: datetime | None
    """When a newer worker of its host has registered. None: it is the newest."""


async def add_worker(
    db: AsyncConnection,
    worker_id: str,
    *,
    host_id: str,
    org_id: str,
    key_id: str,
    now: datetime,
) -> None:
    """Store a worker."""
    await db.execute(
        insert(workers).values(
            id=worker_id, host_id=host_id, org_id=org_id, key_id=key_id, created_at=now
        )
    )


async def prune_workers(
    db: AsyncConnection, host_id: str, *, kept: int, seen_since: datetime, most: int
) -> None:
    """Forget workers of a host that are neither among the latest nor alive.

    The latest `kept` stay, and those seen since a time, but never more than `most`.
    Machines that share a machine id are one host with many workers that are alive.
    """
    of_host = workers.c.host_id == host_id
    seen_at = func.coalesce(workers.c.seen_at, workers.c.created_at)
    ids = select(workers.c.id).where(of_host)
    latest = ids.order_by(workers.c.created_at.desc(), workers.c.id).limit(kept)
    alive = ids.order_by(seen_at.desc(), workers.c.id).limit(most)
    await db.execute(
        delete(workers)
        .where(of_host & workers.c.id.not_in(latest))
        .where((seen_at < seen_since) | workers.c.id.not_in(alive))
    )


async def note_workers(db: AsyncConnection, seen: Mapping[str, datetime]) -> None:
    """Store when workers were seen last: in the order of ids, so that two do not block."""
    await db.execute(
        update(workers)
        .where(workers.c.id == bindparam("worker"))
        .values(seen_at=bindparam("at")),
        [{"worker": id_, "at": at} for id_, at in sorted(seen.items())],
    )


async def with_many_workers(
    db: AsyncConnection, seen_since: datetime, host_id: str | None = None
) -> dict[str, tuple[str, list[tuple[datetime, datetime]]]]:
    """Return hosts with more than one worker that was seen since a time; by id.

    Each is its name and, of each such worker, when it registered and was seen last. Only of
    one host if it is given.
    """
    alive = workers.c.seen_at > seen_since
    if host_id is not None:
        alive &= workers.c.host_id == host_id
    many = (
        select(workers.c.host_id)
        .where(alive)
        .group_by(workers.c.host_id)
        .having(func.count() > 1)
    )
    found = await db.execute(
        select(hosts.c.id, hosts.c.hostname, workers.c.created_at, workers.c.seen_at)
        .join(hosts, hosts.c.id == workers.c.host_id)
        .where(alive & workers.c.host_id.in_(many))
    )
    by_host: dict[str, tuple[str, list[tuple[datetime, datetime]]]] = {}
    for id_, name, registered_at, seen_at in found:
        by_host.setdefault(id_, (name, []))[1].append((registered_at, seen_at))
    return by_host


def worker_statement(worker_id: object, key_id: object) -> Select[Any]:
    """Return the query of a worker with its host and the key that vouches for it.

    It is all that a heartbeat reads which says nothing new and is owed nothing.
    """
    is_owed = (
        select(mutations.c.seq)
        .where((mutations.c.host_id == workers.c.host_id) & text(UNDECIDED))
        .correlate(workers)
        .exists()
    )
    is_former = workers.c.created_at < hosts.c.registered_at
    columns = [hosts.c[name] for name in (*MIRROR, "host_status", "uptake_at")]
    return (
        select(workers.c.org_id, workers.c.host_id, *columns)
        .add_columns(keys.c.id.label("key_id"), keys.c.revoked_at, keys.c.expires_at)
        .add_columns(is_owed.label("is_owed"))
        .add_columns(case((is_former, hosts.c.registered_at)).label("replaced_at"))
        .join(hosts, hosts.c.id == workers.c.host_id)
        .outerjoin(keys, (keys.c.id == key_id) & (keys.c.org_id == workers.c.org_id))
        .where((workers.c.id == worker_id) & workers.c.forgotten_at.is_(None))
    )


_WORKER = worker_statement(bindparam("worker_id"), bindparam("of_key"))


async def find_worker(
    store: Store, worker_id: str, key_id: str, now: datetime
) -> Worker | None:
    """Return a worker. None if there is none, or it was forgotten."""
    row = await store.quick.one(_WORKER, {"worker_id": worker_id, "of_key": key_id})
    if row is None:
        return None
    expires_at = row["expires_at"]
    return Worker(
        id=worker_id,
        org_id=row["org_id"],
        host_id=row["host_id"],
        key_id=key_id,
        is_key_valid=row["key_id"] is not None
        and row["revoked_at"] is None
        and (expires_at is None or expires_at > now),
        mirror={name: row[name] for name in MIRROR},
        host_status=row["host_status"],
        has_reported=row["uptake_at"] is not None,
        is_owed=bool(row["is_owed"]),
        replaced_at=row["replaced_at"],
    )
