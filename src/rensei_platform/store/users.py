"""Statements about users: members of organizations, passwords and links to set them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.callers import Role
from rensei_platform.store.tables import keys, members, orgs, password_links, users


async def list_members(db: AsyncConnection, org_id: str) -> Sequence[RowMapping]:
    """Return the members of an organization by address; never a password's hash."""
    found = await db.execute(
        select(
            users.c.email,
            members.c.role,
            users.c.is_operator,
            users.c.password_hash.is_not(None).label("has_password"),
            members.c.created_at,
        )
        .join(members, members.c.user_id == users.c.id)
        .where(members.c.org_id == org_id)
        .order_by(users.c.email)
    )
    return found.mappings().all()


async def find_member(db: AsyncConnection, org_id: str, email: str) -> RowMapping | None:
    """Return (id, role, is_operator) of a member. None if there is no such member."""
    found = await db.execute(
        select(users.c.id, members.c.role, users.c.is_operator)
        .join(members, members.c.user_id == users.c.id)
        .where((members.c.org_id == org_id) & (users.c.email == email))
    )
    return found.mappings().one_or_none()


async def email_of(db: AsyncConnection, user_id: str) -> str:
    """Return the address of a user who is there."""
    found = await db.scalars(select(users.c.email).where(users.c.id == user_id))
    return str(found.one())


async def is_known_elsewhere(db: AsyncConnection, org_id: str, email: str) -> bool:
    """Whether a user belongs to another organization, or runs the platform."""
    is_of_another = (
        select(members.c.user_id)
        .where((members.c.user_id == users.c.id) & (members.c.org_id != org_id))
        .exists()
    )
    found = await db.execute(
        select(users.c.id).where(
            (users.c.email == email) & (users.c.is_operator | is_of_another)
        )
    )
    return found.first() is not None


async def is_member_of_any(db: AsyncConnection, user_id: str) -> bool:
    """Whether a user belongs to an organization."""
    found = await db.execute(select(members.c.org_id).where(members.c.user_id == user_id))
    return found.first() is not None


async def organizations_of(db: AsyncConnection, email: str, role: Role) -> Sequence[str]:
    """Return the ids of the organizations in which a user has a role."""
    found = await db.scalars(
        select(members.c.org_id)
        .join(users, users.c.id == members.c.user_id)
        .where((users.c.email == email) & (members.c.role == role))
        .order_by(members.c.org_id)
    )
    return found.all()


async def lock_org(db: AsyncConnection, org_id: str) -> None:
    """Let no other transaction change the owners of an organization meanwhile."""
    await db.execute(select(orgs.c.id).where(orgs.c.id == org_id).with_for_update())


async def count_owners(db: AsyncConnection, org_id: str) -> int:
    """Return how many owners an organization has."""
    found = await db.execute(
        select(func.count())
        .select_from(members)
        .where((members.c.org_id == org_id) & (members.c.role == Role.OWNER))
    )
    return int(found.scalar_one())


async def remove_member(
    db: AsyncConnection, org_id: str, user_id: str, now: datetime
) -> Sequence[str]:
    """Remove a member and revoke their keys of the organization; return the keys' ids."""
    await db.execute(
        delete(members).where((members.c.org_id == org_id) & (members.c.user_id == user_id))
    )
    revoked = await db.scalars(
        update(keys)
        .where((keys.c.org_id == org_id) & (keys.c.user_id == user_id))
        .where(keys.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(keys.c.id)
    )
    return revoked.all()


async def valid_keys(db: AsyncConnection, org_id: str, user_id: str) -> Sequence[str]:
    """Return the ids of a user's keys that are not revoked."""
    found = await db.scalars(
        select(keys.c.id)
        .where((keys.c.org_id == org_id) & (keys.c.user_id == user_id))
        .where(keys.c.revoked_at.is_(None))
        .order_by(keys.c.created_at)
    )
    return found.all()


async def set_role(db: AsyncConnection, org_id: str, user_id: str, role: Role) -> None:
    """Change the role of a member."""
    await db.execute(
        update(members)
        .where((members.c.org_id == org_id) & (members.c.user_id == user_id))
        .values(role=role)
    )


async def put_link(
    db: AsyncConnection, user_id: str, digest: str, now: datetime, expires_at: datetime
) -> None:
    """Store a link with which a user sets a password, in place of all earlier ones."""
    await db.execute(delete(password_links).where(password_links.c.user_id == user_id))
    await db.execute(
        insert(password_links).values(
            digest=digest, user_id=user_id, created_at=now, expires_at=expires_at
        )
    )


async def is_link_valid(db: AsyncConnection, digest: str, now: datetime) -> bool:
    """Whether a link can still be used."""
    found = await db.execute(
        select(password_links.c.user_id).where(
            (password_links.c.digest == digest)
            & password_links.c.used_at.is_(None)
            & (password_links.c.expires_at > now)
        )
    )
    return found.first() is not None


async def use_link(db: AsyncConnection, digest: str, now: datetime) -> str | None:
    """Use a link up, and return whose it was. None if it is not valid, or was used."""
    used = await db.scalars(
        update(password_links)
        .where((password_links.c.digest == digest) & password_links.c.used_at.is_(None))
        .where(password_links.c.expires_at > now)
        .values(used_at=now)
        .returning(password_links.c.user_id)
    )
    return used.one_or_none()


async def set_password(db: AsyncConnection, user_id: str, hashed: str | None) -> None:
    """Store the hash of a password; None: they have none, and cannot sign in with one."""
    await db.execute(
        update(users).where(users.c.id == user_id).values(password_hash=hashed)
    )
