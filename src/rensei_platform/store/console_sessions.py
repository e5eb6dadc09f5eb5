"""Statements about the console's sessions: kept by the digest of their cookie."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.store.engine import Store
from rensei_platform.store.tables import console_sessions, keys, members, orgs, users


async def find_user(db: AsyncConnection, email: str) -> RowMapping | None:
    """Return (id, email, password_hash) of a user who may sign in. None for no such one."""
    found = await db.execute(
        select(users.c.id, users.c.email, users.c.password_hash).where(
            (users.c.email == email) & users.c.disabled_at.is_(None)
        )
    )
    return found.mappings().one_or_none()


async def memberships(db: AsyncConnection, user_id: str) -> Sequence[RowMapping]:
    """Return (org_id, name, role) of a user's organizations, oldest first."""
    found = await db.execute(
        select(members.c.org_id, orgs.c.name, members.c.role)
        .join(orgs, orgs.c.id == members.c.org_id)
        .where(members.c.user_id == user_id)
        .order_by(members.c.created_at, members.c.org_id)
    )
    return found.mappings().all()


async def add_session(db: AsyncConnection, **values: Any) -> None:
    """Store a session."""
    await db.execute(insert(console_sessions).values(**values))


def session_statement(digest: object) -> Select[Any]:
    """Return the query of a session with its user's role, and the key it began with."""
    return (
        select(
            console_sessions.c.digest,
            console_sessions.c.user_id,
            console_sessions.c.org_id,
            console_sessions.c.csrf_token,
            console_sessions.c.created_at,
            console_sessions.c.expires_at,
            console_sessions.c.seen_at,
            console_sessions.c.key_id,
            users.c.email,
            users.c.is_operator,
            members.c.role,
            orgs.c.name.label("org_name"),
            keys.c.scopes,
            keys.c.projects,
            keys.c.environments,
            keys.c.revoked_at,
            keys.c.expires_at.label("key_expires_at"),
        )
        .join(users, users.c.id == console_sessions.c.user_id)
        .join(
            members,
            (members.c.user_id == console_sessions.c.user_id)
            & (members.c.org_id == console_sessions.c.org_id),
        )
        .join(orgs, orgs.c.id == console_sessions.c.org_id)
        .outerjoin(keys, keys.c.id == console_sessions.c.key_id)
        .where((console_sessions.c.digest == digest) & users.c.disabled_at.is_(None))
    )


_SESSION = session_statement(bindparam("digest"))


async def find_session(store: Store, digest: str) -> Mapping[str, Any] | None:
    """Return a session. None if there is none, or its user is no longer a member."""
    return await store.quick.one(_SESSION, {"digest": digest})


async def note_seen(db: AsyncConnection, digest: str, now: datetime) -> None:
    """Store that a session is in use."""
    await db.execute(
        update(console_sessions)
        .where(console_sessions.c.digest == digest)
        .values(seen_at=now)
    )


async def use_org(db: AsyncConnection, digest: str, org_id: str) -> None:
    """Let a session look at another organization of its user."""
    await db.execute(
        update(console_sessions)
        .where(console_sessions.c.digest == digest)
        .values(org_id=org_id)
    )


async def end_session(db: AsyncConnection, digest: str) -> None:
    """Remove a session."""
    await db.execute(delete(console_sessions).where(console_sessions.c.digest == digest))


async def end_sessions(
    db: AsyncConnection, user_id: str, *, org_id: str | None = None, kept: str = ""
) -> None:
    """Remove the sessions of a user, in one organization or all; one digest is kept."""
    which = (console_sessions.c.user_id == user_id) & (console_sessions.c.digest != kept)
    if org_id is not None:
        which &= console_sessions.c.org_id == org_id
    await db.execute(delete(console_sessions).where(which))
