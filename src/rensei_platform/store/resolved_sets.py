"""What bindings resolved to last, for all replicas. What is sealed stays sealed here."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, Update, case, delete, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.refresh import Times
from rensei_platform.store.credentials import StoredBinding
from rensei_platform.store.tables import bindings, resolved_sets


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSet:
    """A row of `resolved_sets`."""

    binding_id: str
    version: int
    sealed: str
    resolved_at: datetime
    """Or when its lease was renewed last, or its source found unchanged."""
    stale_at: datetime
    sealed_lease: str | None
    lease_expires_at: datetime | None
    due_at: datetime | None


class Pair(NamedTuple):
    """A binding, and what it resolved to, if it ever did."""

    binding: StoredBinding
    stored: StoredSet | None


_BINDING = [bindings.c[name] for name in StoredBinding.__dataclass_fields__]
_SET = [resolved_sets.c[name] for name in StoredSet.__dataclass_fields__]


async def of_organization(db: AsyncConnection, org_id: str) -> list[Pair]:
    """Return every binding of an organization."""
    return await _pairs(db, bindings.c.org_id == org_id)


async def of_kind(db: AsyncConnection, org_id: str, kind: str) -> list[Pair]:
    """Return the bindings of a kind, for every project and environment."""
    return await _pairs(db, (bindings.c.org_id == org_id) & (bindings.c.kind == kind))


async def of_binding(db: AsyncConnection, binding_id: str) -> Pair | None:
    """Return one binding. None if there is no such one."""
    found = await _pairs(db, bindings.c.id == binding_id)
    return found[0] if found else None


async def due(db: AsyncConnection, now: datetime, limit: int) -> list[str]:
    """Return bindings with something to renew, revoke or look at, the longest due first."""
    found = await db.scalars(
        select(resolved_sets.c.binding_id)
        .where(resolved_sets.c.due_at <= now)
        .order_by(resolved_sets.c.due_at)
        .limit(limit)
    )
    return list(found)


async def put(db: AsyncConnection, org_id: str, found: StoredSet) -> None:
    """Keep what a binding resolved to, in place of what it resolved to before."""
    await forget(db, found.binding_id)
    await db.execute(insert(resolved_sets).values(**asdict(found), org_id=org_id))


async def put_times(
    db: AsyncConnection,
    binding_id: str,
    version: int,
    times: Times,
    *,
    now: datetime,
    sealed_lease: str | None,
    due_at: datetime | None,
) -> None:
    """Change the times and leases of a set, if it is still of this version."""
    await db.execute(
        update(resolved_sets)
        .where(resolved_sets.c.binding_id == binding_id, resolved_sets.c.version == version)
        .values(
            resolved_at=now,
            sealed_lease=sealed_lease,
            lease_expires_at=times.expires_at,
            stale_at=times.stale_at,
            due_at=due_at,
        )
    )


async def is_any_later(db: AsyncConnection, limit: datetime) -> bool:
    """Whether a set was resolved or renewed after a time, to come yet."""
    return await db.scalar(later_statement(limit).limit(1)) is not None


async def distrust_later(db: AsyncConnection, limit: datetime, now: datetime) -> set[str]:
    """End what is known of sets that were resolved or renewed after a time, to come yet.

    They are stale, their leases are over, and what is to be done is due. Return the
    organizations that they belong to.
    """
    found = set(await db.scalars(later_statement(limit)))
    if found:
        await db.execute(end_later_statement(limit, now))
    return found


def later_statement(limit: datetime) -> Select[Any]:
    """Return the query of the organizations of sets that were resolved after a time."""
    return select(resolved_sets.c.org_id).where(resolved_sets.c.resolved_at > limit)


def end_later_statement(limit: datetime, now: datetime) -> Update:
    """Return the statement that ends what is known of sets resolved after a time."""
    times = {
        column.name: case((column.is_not(None), literal(now, column.type)))
        for column in (resolved_sets.c.lease_expires_at, resolved_sets.c.due_at)
    }
    ended = update(resolved_sets).where(resolved_sets.c.resolved_at > limit)
    return ended.values(resolved_at=now, stale_at=now, **times)


async def forget(db: AsyncConnection, binding_id: str) -> None:
    """Forget what a binding resolved to."""
    await db.execute(delete(resolved_sets).where(resolved_sets.c.binding_id == binding_id))


async def _pairs(db: AsyncConnection, condition: Any) -> list[Pair]:
    joined = bindings.outerjoin(resolved_sets, bindings.c.id == resolved_sets.c.binding_id)
    selected = select(*_BINDING, *_SET).select_from(joined).where(condition)
    return [_pair(row) for row in await db.execute(selected.order_by(bindings.c.id))]


def _pair(row: Row[Any]) -> Pair:
    values = tuple(row)
    binding = dict(zip(StoredBinding.__dataclass_fields__, values, strict=False))
    found = dict(zip(StoredSet.__dataclass_fields__, values[len(_BINDING) :], strict=True))
    return Pair(
        StoredBinding(**binding), StoredSet(**found) if found["binding_id"] else None
    )
