"""Statements about hosts, and what they report."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    RowMapping,
    Select,
    case,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.reports import Registration
from rensei_platform.store.tables import (
    hosts,
    presence,
    session_scopes,
    uptake,
    workers,
)


async def find_host(
    db: AsyncConnection, org_id: str, registration: Registration
) -> str | None:
    """Return the id of the host that registers, by its machine id, else by its name.

    A host that was added in advance has a name and no machine id yet.
    """
    of_org = (hosts.c.org_id == org_id) & hosts.c.removed_at.is_(None)
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


_HOLD_NAME = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


async def hold_name(db: AsyncConnection, org_id: str, hostname: str) -> None:
    """Let nobody else add a host of this name until the transaction ends.

    A host without a machine id is its name, which no index can say: many machines may
    have one name. An embedded database has one writer at a time in any case.
    """
    if db.dialect.name == "postgresql":
        await db.execute(_HOLD_NAME, {"name": f"host {org_id} {hostname}"})


async def add_host(
    db: AsyncConnection, host_id: str, org_id: str, hostname: str, now: datetime
) -> None:
    """Store a host. Raise IntegrityError if the id is taken."""
    await db.execute(
        insert(hosts).values(id=host_id, org_id=org_id, hostname=hostname, created_at=now)
    )


async def note_registration(
    db: AsyncConnection, host_id: str, registration: Registration, now: datetime
) -> bool:
    """Store what a host said when it registered.

    False if it was removed, or became another machine's, since it was found.
    """
    still = (hosts.c.id == host_id) & hosts.c.removed_at.is_(None)
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
        still &= func.coalesce(hosts.c.machine_id, registration.machine_id) == (
            registration.machine_id
        )
    changed = await db.execute(update(hosts).where(still).values(values))
    return bool(changed.rowcount)


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
        .where(hosts.c.removed_at.is_(None))
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
    db: AsyncConnection,
    org_id: str,
    *,
    after: tuple[str, str | None],
    limit: int,
    removed: bool = False,
) -> Sequence[RowMapping]:
    """Return the next hosts of an organization in the order of (name, id).

    `after` is where the page before has ended; without an id, the end of a name.
    """
    found = await db.execute(page_statement(org_id, after, limit, removed=removed))
    page: Sequence[RowMapping] = found.mappings().all()
    return page


def page_statement(
    org_id: str, after: tuple[str, str | None], limit: int, *, removed: bool = False
) -> Select[Any]:
    """Return the query of the next hosts of an organization by (name, id)."""
    is_removed = hosts.c.removed_at.is_not(None)
    name, host_id = after
    is_next = hosts.c.hostname > name
    if host_id is not None:
        is_next = tuple_(hosts.c.hostname, hosts.c.id) > tuple_(name, host_id)
    query: Select[Any] = (
        _with_presence()
        .where((hosts.c.org_id == org_id) & (is_removed if removed else ~is_removed))
        .where(is_next)
        .order_by(hosts.c.hostname, hosts.c.id)
        .limit(limit)
    )
    return query


async def remove_host(db: AsyncConnection, host_id: str, now: datetime) -> bool:
    """Remove a host, its workers and its sessions; its history stays.

    False if somebody else has removed it.
    """
    changed = await db.execute(
        update(hosts)
        .where((hosts.c.id == host_id) & hosts.c.removed_at.is_(None))
        .values(removed_at=now, machine_id=None)
    )
    if not changed.rowcount:
        return False
    await _forget_scopes(db, host_id)
    await db.execute(delete(workers).where(workers.c.host_id == host_id))
    await db.execute(delete(uptake).where(uptake.c.host_id == host_id))
    return True


async def _forget_scopes(db: AsyncConnection, host_id: str) -> None:
    """Forget the snapshots of a host's sessions; one that lives on takes another.

    Which sessions a host has is known if it has reported them. Those of a host that never
    did are all of its key, unless another host has the key too.
    """
    of_host = select(workers.c.key_id).where(workers.c.host_id == host_id)
    of_others = select(workers.c.key_id).where(workers.c.host_id != host_id)
    has_reported = select(hosts.c.id).where(
        (hosts.c.id == host_id) & hosts.c.uptake_at.is_not(None)
    )
    reported = select(uptake.c.session_id).where(uptake.c.host_id == host_id)
    keys_alone = session_scopes.c.key_id.not_in(
        of_others.where(workers.c.key_id == session_scopes.c.key_id)
    )
    await db.execute(
        delete(session_scopes)
        .where(session_scopes.c.key_id.in_(of_host))
        .where(
            session_scopes.c.session_id.in_(reported)
            | (keys_alone & ~has_reported.exists())
        )
    )


_LAST_CHARACTER = "\U0010ffff"


def prefix_statement(
    org_id: str, prefix: str, after: tuple[str, str], limit: int
) -> Select[Any]:
    """Return the query of the hosts whose names begin with a prefix.

    They are in the order of (name, id), and behind `after`.
    """
    query: Select[Any] = (
        _with_presence()
        .where((hosts.c.org_id == org_id) & hosts.c.removed_at.is_(None))
        .where(tuple_(hosts.c.hostname, hosts.c.id) > tuple_(*after))
        .order_by(hosts.c.hostname, hosts.c.id)
        .limit(limit)
    )
    if prefix:
        query = query.where(hosts.c.hostname >= prefix)
        query = query.where(hosts.c.hostname < prefix + _LAST_CHARACTER)
    return query


async def list_by_prefix(
    db: AsyncConnection, org_id: str, prefix: str, after: tuple[str, str], limit: int
) -> Sequence[RowMapping]:
    """Return the next hosts whose names begin with a prefix, by name and id."""
    found = await db.execute(prefix_statement(org_id, prefix, after, limit))
    rows: Sequence[RowMapping] = found.mappings().all()
    return rows


def ages_statement(org_id: str, limits: Sequence[datetime]) -> Select[Any]:
    """Return the query of how many hosts were seen since each of these times.

    Its row has a count for each limit, then of those ever seen, then of all.
    """
    counts = [
        func.count(case((presence.c.last_seen_at >= limit, 1))).label(f"since_{number}")
        for number, limit in enumerate(limits)
    ]
    columns: list[Any] = [*counts, func.count(presence.c.host_id), func.count(hosts.c.id)]
    return (
        select(*columns)
        .select_from(hosts)
        .outerjoin(presence, presence.c.host_id == hosts.c.id)
        .where((hosts.c.org_id == org_id) & hosts.c.removed_at.is_(None))
    )


async def count_ages(
    db: AsyncConnection, org_id: str, limits: Sequence[datetime]
) -> tuple[int, ...]:
    """Return how many hosts were seen since each of these times, ever, and how many are."""
    return tuple((await db.execute(ages_statement(org_id, limits))).one())


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
