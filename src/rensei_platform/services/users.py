"""Users: who belongs to an organization, and how they set a password."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.bus.messages import Message, Topic
from rensei_platform.errors import (
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
)
from rensei_platform.ids import digest, new_id, new_key
from rensei_platform.rules.callers import (
    Access,
    Caller,
    CallerKind,
    Role,
    require_access,
    require_admin,
    require_grant,
)
from rensei_platform.services.passwords import (
    LEAST_PASSWORD,
    MOST_PASSWORD,
    hash_password,
)
from rensei_platform.services.platform import Platform
from rensei_platform.store import audit, console_sessions, orgs, users

LINK_PREFIX = "rsl_live_"
LINK_LIFETIME = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Link:
    """What a user sets a password with, once. Its text is shown once and stored nowhere."""

    text: str = field(repr=False)
    expires_at: datetime


async def make_link(db: AsyncConnection, user_id: str, now: datetime) -> Link:
    """Store a link for a user, in place of all earlier ones."""
    link = Link(new_key(LINK_PREFIX), now + LINK_LIFETIME)
    await users.put_link(db, user_id, digest(link.text), now, link.expires_at)
    return link


async def put_own_user(
    db: AsyncConnection, caller: Caller, email: str, now: datetime
) -> str:
    """Return the id of a user who is to become a member; store one if there is none.

    Somebody who belongs to no organization any more has no password from now on: who has
    set it is not known. Raise ForbiddenError for a user of another organization.
    """
    await _require_own(db, caller, email)
    user_id = await orgs.put_user(db, new_id("user"), email, now)
    if not await users.is_member_of_any(db, user_id):
        await users.set_password(db, user_id, None)
    return user_id


async def _require_own(db: AsyncConnection, caller: Caller, email: str) -> None:
    """Raise ForbiddenError for a user whom other organizations trust too.

    A user has one password for all organizations, so whoever sets it, or has set it before
    the user becomes a member, can act in each of them.
    """
    if not caller.is_operator and await users.is_known_elsewhere(db, caller.org_id, email):
        raise ForbiddenError(
            "The user belongs to another organization: ask an operator of the platform"
        )


async def list_users(platform: Platform, caller: Caller) -> Sequence[RowMapping]:
    """Return the members of the caller's organization."""
    require_access(caller, Access.ADMIN)
    async with platform.store.read() as db:
        return await users.list_members(db, caller.org_id)


async def add_user(platform: Platform, caller: Caller, email: str, role: Role) -> Link:
    """Make a user a member, and return the link with which they set a password.

    Raise ConflictError if they are one already: a role is not changed by accident;
    ForbiddenError for a user of another organization.
    """
    require_admin(caller, Access.ADMIN)
    require_grant(caller, (role,))
    now = platform.now()
    async with platform.store.write() as db:
        await users.lock_org(db, caller.org_id)
        if await users.find_member(db, caller.org_id, email) is not None:
            raise ConflictError(f"{email} is a member already")
        user_id = await put_own_user(db, caller, email, now)
        await orgs.put_member(db, caller.org_id, user_id, role, now)
        await audit.add_entry(db, caller, "user.add", email, now, role=role)
        return await make_link(db, user_id, now)


async def reset_user(platform: Platform, caller: Caller, email: str) -> Link:
    """Return a new link for a member; the earlier ones end.

    Raise NotFoundError, or ForbiddenError for a user of another organization too.
    """
    require_admin(caller, Access.ADMIN)
    now = platform.now()
    async with platform.store.write() as db:
        member = await _member(db, caller, email)
        await _require_own(db, caller, email)
        await audit.add_entry(db, caller, "user.reset", email, now)
        return await make_link(db, member["id"], now)


async def set_role(platform: Platform, caller: Caller, email: str, role: Role) -> None:
    """Change the role of a member.

    Raise NotFoundError, ForbiddenError, or ConflictError for the last owner.
    """
    require_admin(caller, Access.ADMIN)
    require_grant(caller, (role,))
    now = platform.now()
    async with platform.store.write() as db:
        await users.lock_org(db, caller.org_id)
        member = await _member(db, caller, email)
        if role is not Role.OWNER:
            await _require_another_owner(db, caller, member)
        await users.set_role(db, caller.org_id, member["id"], role)
        await audit.add_entry(
            db, caller, "user.role", email, now, role=role, before=member["role"]
        )


async def _require_another_owner(
    db: AsyncConnection, caller: Caller, member: RowMapping
) -> None:
    """Raise ConflictError if the member is the last owner."""
    is_owner = member["role"] == Role.OWNER
    if is_owner and await users.count_owners(db, caller.org_id) == 1:
        raise ConflictError("The last owner of an organization stays")


async def remove_user(platform: Platform, caller: Caller, email: str) -> None:
    """Remove a member, and end what their keys and streams can do.

    Raise NotFoundError, or ConflictError for the last owner.
    """
    require_admin(caller, Access.ADMIN)
    now = platform.now()
    async with platform.store.write() as db:
        await users.lock_org(db, caller.org_id)
        member = await _member(db, caller, email)
        await _require_another_owner(db, caller, member)
        revoked = await users.remove_member(db, caller.org_id, member["id"], now)
        await console_sessions.end_sessions(db, member["id"], org_id=caller.org_id)
        await audit.add_entry(db, caller, "user.remove", email, now, keys=list(revoked))
    if revoked:
        await platform.bus.publish(Message(Topic.KEY_REVOKED, tuple(revoked)))


async def _member(db: AsyncConnection, caller: Caller, email: str) -> RowMapping:
    """Return a member whom the caller may change."""
    member = await users.find_member(db, caller.org_id, email)
    if member is None:
        raise NotFoundError("User not found")
    require_grant(caller, (Role(member["role"]),))
    if member["is_operator"] and not caller.is_operator:
        raise ForbiddenError("Only an operator of the platform changes an operator")
    return member


async def set_password(platform: Platform, link: str, password: str, address: str) -> str:
    """Set the password of the user whose link this is, and return their address.

    A link can be used once. Raise NotFoundError for one that is none or no more,
    TooManyRequestsError for an address that has tried too many of those.
    """
    platform.availability.require()
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise InvalidRequestError(
            f"password must have {LEAST_PASSWORD} to {MOST_PASSWORD} characters"
        )
    with platform.failures.attempt(address):
        email = await _use_link(platform, link, password, address)
        if email is None:
            raise NotFoundError("The link is not valid, or was used; ask for another")
        return email


async def _use_link(
    platform: Platform, link: str, password: str, address: str
) -> str | None:
    """Set the password of the user whose link this is; return whose. None for no link."""
    async with platform.store.read() as db:
        if not await users.is_link_valid(db, digest(link), platform.now()):
            return None
    hashed = await hash_password(password)
    async with platform.store.write() as db:
        now = platform.now()
        user_id = await users.use_link(db, digest(link), now)
        if user_id is None:
            return None
        await users.set_password(db, user_id, hashed)
        await console_sessions.end_sessions(db, user_id)
        return await _note_password(db, user_id, address, now)


async def _note_password(
    db: AsyncConnection, user_id: str, address: str, now: datetime
) -> str:
    """Note that a user set a password in the audit of each organization; return who.

    The one who has the link is taken for the user: nothing else is known of them.
    """
    email = await users.email_of(db, user_id)
    for member in await console_sessions.memberships(db, user_id):
        caller = Caller(
            kind=CallerKind.SESSION,
            org_id=member["org_id"],
            user_id=user_id,
            name=email,
            role=Role(member["role"]),
            address=address,
        )
        await audit.add_entry(db, caller, "password.set", email, now)
    return email
