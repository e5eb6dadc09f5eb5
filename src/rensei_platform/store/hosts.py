"""Statements about hosts, the workers they register as, and what they report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, bindparam, delete, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.reports import REPORTED, Registration
from rensei_platform.store.engine import Store
from rensei_platform.store.tables import (
    UNDECIDED,
    hosts,
    keys,
    mutations,
    presence,
    workers,
)

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


async def find_host(
    db: AsyncConnection, org_id: str, registration: Registration
) -> str | None:
    """Return the id of the host that registers, by its machine id, else by its name.

    A host that was added in advance has a name and no machine id yet.
    """
    of_org = hosts.c.org_id == org_id
    if registration.machine_id is not None:
        found = await db.execute(
            select(hosts.c.id).where(
                of_org & (hosts.c.machine_id == registration.machine_id)
            )
        )
        known: str | None = found.scalar_one_or_none()
        if known is not None:
            return known
    same_name = of_org & (hosts.c.hostname == registration.hostname)
    if registration.machine_id is not None:
        same_name &= hosts.c.machine_id.is_(None)
    found = await db.execute(
        select(hosts.c.id).where(same_name).order_by(hosts.c.created_at).limit(1)
    )
    named: str | None = found.scalar_one_or_none()
    return named


async def add_host(
    db: AsyncConnection, host_id: str, org_id: str, hostname: str, now: datetime
) -> None:
    """Store a host. Raise IntegrityError if the id is taken."""
    await db.execute(
        insert(hosts).values(id=host_id, org_id=org_id, hostname=hostname, created_at=now)
    )


async def note_registration(
    db: AsyncConnection, host_id: str, registration: Registration, now: datetime
) -> None:
    """Store what a host said when it registered."""
    values: dict[str, Any] = {
        "hostname": registration.hostname,
        "registered_at": now,
        "registrations": hosts.c.registrations + 1,
        "version": registration.version,
        "region": registration.region,
        "capacity": registration.capacity,
        "host_info": registration.host_info,
    }
    if registration.machine_id is not None:
        values["machine_id"] = registration.machine_id
    await db.execute(update(hosts).where(hosts.c.id == host_id).values(values))


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


async def prune_workers(db: AsyncConnection, host_id: str, kept: int) -> None:
    """Forget all workers of a host but the latest."""
    latest = (
        select(workers.c.id)
        .where(workers.c.host_id == host_id)
        .order_by(workers.c.created_at.desc())
        .limit(kept)
    )
    await db.execute(
        delete(workers).where((workers.c.host_id == host_id) & workers.c.id.not_in(latest))
    )


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
    columns = [hosts.c[name] for name in (*MIRROR, "host_status", "uptake_at")]
    return (
        select(workers.c.org_id, workers.c.host_id, *columns)
        .add_columns(keys.c.id.label("key_id"), keys.c.revoked_at, keys.c.expires_at)
        .add_columns(is_owed.label("is_owed"))
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
    )


async def update_mirror(
    db: AsyncConnection, host_id: str, values: Mapping[str, Any], now: datetime
) -> None:
    """Store what a host reports now; columns that are not named keep their values."""
    await db.execute(
        update(hosts).where(hosts.c.id == host_id).values(**values, reported_at=now)
    )


async def set_host_status(
    db: AsyncConnection, org_id: str, host_id: str, status: Mapping[str, Any] | None
) -> bool:
    """Set what a host is told of itself; whether there is such a host."""
    changed = await db.execute(
        update(hosts)
        .where((hosts.c.id == host_id) & (hosts.c.org_id == org_id))
        .values(host_status=status)
    )
    return bool(changed.rowcount)


async def get_host(db: AsyncConnection, org_id: str, host_id: str) -> RowMapping | None:
    """Return a host of an organization with its presence. None if it has no such host."""
    found = await db.execute(
        _with_presence().where((hosts.c.id == host_id) & (hosts.c.org_id == org_id))
    )
    return found.mappings().one_or_none()


async def list_hosts(
    db: AsyncConnection, org_id: str, *, after: str, limit: int
) -> Sequence[RowMapping]:
    """Return the next hosts of an organization in the order of their names."""
    found = await db.execute(
        _with_presence()
        .where((hosts.c.org_id == org_id) & (hosts.c.hostname > after))
        .order_by(hosts.c.hostname)
        .limit(limit)
    )
    return found.mappings().all()


def _with_presence() -> Any:
    return select(hosts, presence.c.last_seen_at, presence.c.active_count).join(
        presence, presence.c.host_id == hosts.c.id, isouter=True
    )


async def note_presence(
    db: AsyncConnection, seen: Iterable[tuple[str, datetime, int]]
) -> None:
    """Store (host, last seen, active sessions) of many hosts in one statement."""
    rows = [
        {"host_id": host_id, "last_seen_at": at, "active_count": active}
        for host_id, at, active in seen
    ]
    if not rows:
        return
    dialect = postgresql if db.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(presence)
    await db.execute(
        statement.on_conflict_do_update(
            index_elements=[presence.c.host_id],
            set_={
                "last_seen_at": statement.excluded.last_seen_at,
                "active_count": statement.excluded.active_count,
            },
        ),
        rows,
    )
