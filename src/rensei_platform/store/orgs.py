"""Statements about organizations, their users and their keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.callers import Caller, CallerKind, Role
from rensei_platform.store.engine import Store
from rensei_platform.store.tables import keys, members, orgs, users


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key to be stored: its digest, never its text."""

    id: str
    org_id: str
    user_id: str
    kind: CallerKind
    name: str
    prefix: str
    digest: str
    scopes: Sequence[str]
    projects: Sequence[str] | None
    environments: Sequence[str] | None
    created_at: datetime


async def add_org(db: AsyncConnection, org_id: str, name: str, now: datetime) -> None:
    """Store an organization. Raise IntegrityError if the id is taken."""
    await db.execute(insert(orgs).values(id=org_id, name=name, created_at=now))


async def has_org(db: AsyncConnection, org_id: str) -> bool:
    """Whether there is such an organization."""
    found = await db.execute(select(orgs.c.id).where(orgs.c.id == org_id))
    return found.first() is not None


async def list_orgs(db: AsyncConnection) -> Sequence[RowMapping]:
    """Return (id, name, created_at) of every organization."""
    found = await db.execute(select(orgs.c.id, orgs.c.name, orgs.c.created_at))
    return found.mappings().all()


async def find_member(
    db: AsyncConnection, org_id: str, email: str
) -> tuple[Role | None, bool]:
    """Return the role of a user in an organization, and whether they run the platform."""
    found = await db.execute(
        select(members.c.role, users.c.is_operator)
        .outerjoin_from(
            users,
            members,
            (members.c.user_id == users.c.id) & (members.c.org_id == org_id),
        )
        .where(users.c.email == email)
    )
    row = found.one_or_none()
    if row is None:
        return None, False
    return None if row.role is None else Role(row.role), row.is_operator


async def make_operator(db: AsyncConnection, user_id: str) -> None:
    """Let a user run the platform, and so add organizations."""
    await db.execute(update(users).where(users.c.id == user_id).values(is_operator=True))


async def put_user(db: AsyncConnection, user_id: str, email: str, now: datetime) -> str:
    """Return the id of the user with this address; store one with `user_id` if none."""
    found = await db.execute(select(users.c.id).where(users.c.email == email))
    known: str | None = found.scalar_one_or_none()
    if known is not None:
        return known
    await db.execute(insert(users).values(id=user_id, email=email, created_at=now))
    return user_id


async def put_member(
    db: AsyncConnection, org_id: str, user_id: str, role: Role, now: datetime
) -> None:
    """Make a user a member of an organization, or change the role."""
    is_member = (members.c.org_id == org_id) & (members.c.user_id == user_id)
    changed = await db.execute(update(members).where(is_member).values(role=role))
    if not changed.rowcount:
        await db.execute(
            insert(members).values(
                org_id=org_id, user_id=user_id, role=role, created_at=now
            )
        )


async def list_members(db: AsyncConnection, org_id: str) -> Sequence[RowMapping]:
    """Return (email, role) of an organization's members."""
    found = await db.execute(
        select(users.c.email, members.c.role)
        .join(members, members.c.user_id == users.c.id)
        .where(members.c.org_id == org_id)
        .order_by(users.c.email)
    )
    return found.mappings().all()


async def add_key(db: AsyncConnection, key: NewKey) -> None:
    """Store a key."""
    await db.execute(
        insert(keys).values(
            id=key.id,
            org_id=key.org_id,
            user_id=key.user_id,
            kind=key.kind,
            name=key.name,
            prefix=key.prefix,
            digest=key.digest,
            scopes=list(key.scopes),
            projects=None if key.projects is None else list(key.projects),
            environments=None if key.environments is None else list(key.environments),
            created_at=key.created_at,
        )
    )


def key_statement(digest: object) -> Select[Any]:
    """Return the query of a key that is not revoked, with its user and role."""
    return (
        select(keys, users.c.email, users.c.is_operator, members.c.role)
        .join(users, users.c.id == keys.c.user_id)
        .join(
            members,
            (members.c.user_id == keys.c.user_id) & (members.c.org_id == keys.c.org_id),
        )
        .where(keys.c.digest == digest)
        .where(keys.c.revoked_at.is_(None) & users.c.disabled_at.is_(None))
    )


_KEY = key_statement(bindparam("digest"))


async def caller_of_key(store: Store, digest: str, now: datetime) -> Caller | None:
    """Return who a key speaks for. None if there is none, or it is no longer valid."""
    row = await store.quick.one(_KEY, {"digest": digest})
    if row is None or (row["expires_at"] is not None and row["expires_at"] <= now):
        return None
    projects, environments = row["projects"], row["environments"]
    return Caller(
        kind=CallerKind(row["kind"]),
        org_id=row["org_id"],
        user_id=row["user_id"],
        name=row["email"],
        role=Role(row["role"]),
        scopes=frozenset(row["scopes"]),
        key_id=row["id"],
        projects=None if projects is None else tuple(projects),
        environments=None if environments is None else tuple(environments),
        is_operator=row["is_operator"],
    )


async def list_keys(db: AsyncConnection, org_id: str) -> Sequence[RowMapping]:
    """Return the keys of an organization, oldest first; never their digests."""
    found = await db.execute(
        select(
            keys.c.id,
            keys.c.name,
            keys.c.kind,
            keys.c.prefix,
            keys.c.scopes,
            keys.c.projects,
            keys.c.environments,
            keys.c.created_at,
            keys.c.revoked_at,
            users.c.email.label("owner"),
        )
        .join(users, users.c.id == keys.c.user_id)
        .where(keys.c.org_id == org_id)
        .order_by(keys.c.created_at)
    )
    return found.mappings().all()


async def revoke_key(db: AsyncConnection, org_id: str, key_id: str, now: datetime) -> bool:
    """Revoke a key; whether there was such a key."""
    changed = await db.execute(
        update(keys)
        .where((keys.c.id == key_id) & (keys.c.org_id == org_id))
        .values(revoked_at=now)
    )
    return bool(changed.rowcount)


def revoked_statement(since: datetime) -> Select[Any]:
    """Return the query of the keys revoked since a time."""
    return select(keys.c.id).where(keys.c.revoked_at >= since)


async def revoked_since(db: AsyncConnection, since: datetime) -> Sequence[str]:
    """Return the ids of the keys revoked since a time, whose streams have to end."""
    found: Sequence[str] = (await db.scalars(revoked_statement(since))).all()
    return found
