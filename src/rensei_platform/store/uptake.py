"""Statements about what hosts say of the values that their sessions hold and use."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.credentials import Scope
from rensei_platform.rules.receipts import SessionUptake, Uptake, UptakeChanges
from rensei_platform.store.credentials import upsert
from rensei_platform.store.slices import each_row
from rensei_platform.store.tables import (
    hosts,
    keys,
    presence,
    rotations,
    session_scopes,
    uptake,
    workers,
)
from rensei_platform.store.workers import Worker


def of_host_statement(host_id: str) -> Select[Any]:
    """Return the query of the sessions that a host has."""
    return select(uptake).where((uptake.c.host_id == host_id) & uptake.c.ended_at.is_(None))


async def of_host(db: AsyncConnection, host_id: str) -> list[SessionUptake]:
    """Return what a host has said of the sessions that it has."""
    return [
        _session(row) for row in (await db.execute(of_host_statement(host_id))).mappings()
    ]


def _session(row: RowMapping) -> SessionUptake:
    return SessionUptake(
        host_id=row["host_id"],
        session_id=row["session_id"],
        version=row["version"],
        confirmed=row["confirmed"],
        received=row["received"],
        unknown=row["unknown"],
        behind=tuple(row["behind"]),
        settled_version=row["settled_version"],
        settled_as=Uptake(row["settled_as"]),
    )


async def store_changes(
    db: AsyncConnection,
    changes: UptakeChanges,
    *,
    worker: Worker,
    now: datetime,
) -> None:
    """Store how a report of a worker changes what is known of its host's sessions."""
    rows = [
        {
            "host_id": worker.host_id,
            "session_id": session.session_id,
            "org_id": worker.org_id,
            "version": session.version,
            "confirmed": session.confirmed,
            "received": session.received,
            "unknown": session.unknown,
            "behind": list(session.behind),
            "settled_version": session.settled_version,
            "settled_as": session.settled_as,
            "key_id": worker.key_id,
            "reported_at": now,
            "ended_at": None,
        }
        for session in changes.changed
    ]
    if rows:
        await upsert(db, uptake, *rows)
    if changes.ended:
        await db.execute(
            update(uptake)
            .where(
                (uptake.c.host_id == worker.host_id)
                & uptake.c.session_id.in_(changes.ended)
            )
            .values(ended_at=now)
        )
    of_worker = hosts.c.id == worker.host_id
    await db.execute(update(hosts).where(of_worker).values(uptake_at=now))


# ---- receipts ----------------------------------------------------------------------------


async def find_rotation(
    db: AsyncConnection, org_id: str, rotation_id: str
) -> RowMapping | None:
    """Return a rotation of an organization. None if it has no such rotation."""
    found = await db.execute(
        select(rotations).where(
            (rotations.c.id == rotation_id) & (rotations.c.org_id == org_id)
        )
    )
    return found.mappings().one_or_none()


@dataclass(frozen=True, slots=True)
class Reported:
    """A session as its host reported it, and when the host was seen last."""

    session: SessionUptake
    key_id: str
    hostname: str
    seen_at: datetime | None
    is_ended: bool


def of_org_statement(org_id: str) -> Select[Any]:
    """Return the query of every session that hosts of an organization have reported."""
    return (
        select(uptake, hosts.c.hostname, presence.c.last_seen_at)
        .join(hosts, hosts.c.id == uptake.c.host_id)
        .outerjoin(presence, presence.c.host_id == uptake.c.host_id)
        .where((uptake.c.org_id == org_id) & hosts.c.removed_at.is_(None))
    )


async def of_org(db: AsyncConnection, org_id: str) -> list[Reported]:
    """Return every session that hosts of an organization have reported, ended ones too."""
    rows = each_row(await db.execute(of_org_statement(org_id)))
    return [
        Reported(
            _session(row),
            row["key_id"],
            row["hostname"],
            row["last_seen_at"],
            row["ended_at"] is not None,
        )
        async for row in rows
    ]


_OF_SCOPE, _BETWEEN = "\x1f", "\x1e"


def groups_statement(org_id: str) -> Select[Any]:
    """Return the query of how many sessions of an organization are equally far.

    Sessions are in one group if they have taken snapshots of the same scopes as well.
    """
    scope = session_scopes.c.project_id + _OF_SCOPE + session_scopes.c.environment
    scopes = (
        select(func.aggregate_strings(scope, _BETWEEN))
        .where(session_scopes.c.key_id == uptake.c.key_id)
        .where(session_scopes.c.session_id == uptake.c.session_id)
        .correlate(uptake)
        .scalar_subquery()
    )
    columns = (uptake.c.version, uptake.c.settled_version, uptake.c.settled_as)
    session = (
        select(scopes.label("scopes"), *columns)
        .where((uptake.c.org_id == org_id) & uptake.c.ended_at.is_(None))
        .subquery()
    )
    return select(*session.c, func.count().label("count")).group_by(*session.c)


@dataclass(frozen=True, slots=True)
class SessionGroup:
    """Sessions that are equally far."""

    scopes: frozenset[Scope]
    """Of their snapshots; empty if they took none lately."""
    like: SessionUptake
    """One of them, without its names."""
    count: int


async def groups_of_org(db: AsyncConnection, org_id: str) -> list[SessionGroup]:
    """Return the sessions of an organization that have not ended, as groups."""
    return [
        SessionGroup(
            frozenset(_scopes(row.scopes or "")),
            SessionUptake(
                host_id="",
                session_id="",
                version=row.version,
                settled_version=row.settled_version,
                settled_as=Uptake(row.settled_as),
            ),
            row.count,
        )
        for row in await db.execute(groups_statement(org_id))
    ]


def _scopes(joined: str) -> Iterator[Scope]:
    for one in joined.split(_BETWEEN) if joined else ():
        project_id, _, environment = one.partition(_OF_SCOPE)
        yield Scope(project_id, environment)


@dataclass(frozen=True, slots=True)
class KeyUser:
    """A host that has registered with a key."""

    key_id: str
    host_id: str
    hostname: str
    has_reported: bool
    """Whether it has ever said anything of its sessions."""
    seen_at: datetime | None


def users_statement(key_ids: Collection[str]) -> Select[Any]:
    """Return the query of the hosts that have registered with these keys."""
    return (
        select(
            workers.c.key_id,
            hosts.c.id,
            hosts.c.hostname,
            hosts.c.uptake_at,
            presence.c.last_seen_at,
        )
        .join(hosts, hosts.c.id == workers.c.host_id)
        .outerjoin(presence, presence.c.host_id == hosts.c.id)
        .where(workers.c.key_id.in_(key_ids))
    )


async def users_of_keys(db: AsyncConnection, key_ids: Collection[str]) -> list[KeyUser]:
    """Return the hosts that have registered with these keys, once a registration."""
    found = await db.execute(users_statement(key_ids))
    return [
        KeyUser(
            row["key_id"],
            row["id"],
            row["hostname"],
            row["uptake_at"] is not None,
            row["last_seen_at"],
        )
        async for row in each_row(found)
    ]


async def key_names(db: AsyncConnection, key_ids: Iterable[str]) -> dict[str, str]:
    """Return key id -> name."""
    found = await db.execute(
        select(keys.c.id, keys.c.name).where(keys.c.id.in_(list(key_ids)))
    )
    return {row.id: row.name for row in found}
