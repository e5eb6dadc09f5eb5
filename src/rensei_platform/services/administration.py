"""Organizations, users, keys and hosts: what owners and admins do with them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.bus.messages import Message, Topic
from rensei_platform.errors import (
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
)
from rensei_platform.ids import digest, new_id, new_key, shown_prefix
from rensei_platform.rules.callers import (
    HOST_KEY_ACCESS,
    Access,
    Caller,
    CallerKind,
    Role,
    on_the_host,
    require_access,
    require_admin,
    require_grant,
    require_operator,
)
from rensei_platform.rules.fields import check_id, email
from rensei_platform.services.clones import cloned_hosts
from rensei_platform.services.platform import Platform
from rensei_platform.services.users import Link, make_link, put_own_user
from rensei_platform.store import audit, hosts, orgs, users
from rensei_platform.store.engine import Store
from rensei_platform.store.orgs import NewKey

AuditFilter = audit.Filter
"""What the audit can be asked for."""


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key. Its text is shown once and stored nowhere."""

    id: str
    text: str = field(repr=False)


async def found_org(
    store: Store,
    org_id: str,
    name: str,
    owner: str,
    now: datetime,
    *,
    is_operator: bool = False,
    by: Caller | None = None,
) -> MadeKey:
    """Store an organization with its first owner, and return the owner's first key.

    `is_operator`: the owner runs the platform, and may add organizations. The audit names
    `by`, in whose organization its entry is; without one the database's host did it.
    Raise InvalidRequestError for an id that is none, ConflictError if it is taken.
    """
    check_id(org_id, "id")
    owner = email(owner)
    try:
        async with store.write() as db:
            await orgs.add_org(db, org_id, name, now)
            user_id = await orgs.put_user(db, new_id("user"), owner, now)
            await orgs.put_member(db, org_id, user_id, Role.OWNER, now)
            if is_operator:
                await orgs.make_operator(db, user_id)
            details = {"name": name, "owner": owner}
            by = by or on_the_host(org_id, "init")
            await audit.add_entry(db, by, "org.add", org_id, now, **details)
            return await _add_key(db, org_id, user_id, "first key", now)
    except IntegrityError:
        raise ConflictError(f"Organization {org_id} is there already") from None


async def add_org(
    platform: Platform, caller: Caller, org_id: str, name: str, owner: str
) -> MadeKey:
    """Add an organization: for those who run the platform. Raise ForbiddenError."""
    require_operator(caller)
    now = platform.now()
    return await found_org(platform.store, org_id, name, owner, now, by=caller)


async def add_key(
    platform: Platform,
    caller: Caller,
    *,
    name: str,
    for_host: bool,
    owner: str | None = None,
    role: Role | None = None,
    projects: Sequence[str] | None = None,
    environments: Sequence[str] | None = None,
) -> MadeKey:
    """Make a key: a host's, or one with its owner's role.

    `owner` is made a member with `role`, if both are given; else the caller owns the key.
    """
    require_admin(caller, Access.ADMIN)
    if not for_host and (projects is not None or environments is not None):
        # It would administer all of them: the limit is about credentials alone.
        raise InvalidRequestError("Projects and environments limit a host's key only")
    now = platform.now()
    async with platform.store.write() as db:
        user_id = caller.user_id or ""
        if owner is not None:
            user_id = await _put_member(db, caller, email(owner), role, now)
        made = await _add_key(
            db,
            caller.org_id,
            user_id,
            name,
            now,
            scopes=HOST_KEY_ACCESS if for_host else (Access.ALL,),
            projects=projects,
            environments=environments,
        )
        await audit.add_entry(db, caller, "key.add", made.id, now, name=name)
    platform.changes.note(caller.org_id)
    return made


async def _put_member(
    db: AsyncConnection, caller: Caller, email: str, role: Role | None, now: datetime
) -> str:
    """Make a user a member, and return their id; without `role` a member keeps theirs.

    A key speaks for its owner. So nobody but an operator of the platform makes one that
    speaks for an operator.
    """
    present, is_operator = await orgs.find_member(db, caller.org_id, email)
    if is_operator and not caller.is_operator:
        raise ForbiddenError("Only an operator of the platform adds keys of an operator")
    role = role or present or Role.MEMBER
    require_grant(caller, (present, role))
    if present is None:
        user_id = await put_own_user(db, caller, email, now)
    else:
        user_id = await orgs.put_user(db, new_id("user"), email, now)
    await orgs.put_member(db, caller.org_id, user_id, role, now)
    if present is None:
        await audit.add_entry(db, caller, "user.add", email, now, role=role)
    elif present is not role:
        changed = {"role": role, "before": present}
        await audit.add_entry(db, caller, "user.role", email, now, **changed)
    return user_id


async def add_token(platform: Platform, caller: Caller, name: str) -> MadeKey:
    """Make a personal token, which has its user's role and is theirs alone.

    Any member makes one for themselves, but not with a key that is limited.
    """
    require_access(caller, Access.ADMIN)
    if Access.ALL not in caller.scopes:
        raise ForbiddenError("A limited key makes no personal token")
    now = platform.now()
    async with platform.store.write() as db:
        made = await _add_key(
            db,
            caller.org_id,
            caller.user_id or "",
            name,
            now,
            kind=CallerKind.USER_TOKEN,
        )
        await audit.add_entry(db, caller, "token.add", made.id, now, name=name)
    return made


async def link_of_owner(store: Store, org_id: str, owner: str, now: datetime) -> Link:
    """Make the link with which an owner sets a password. Raise NotFoundError."""
    async with store.write() as db:
        member = await users.find_member(db, org_id, owner)
        if member is None:
            raise NotFoundError(f"{owner} is not an owner of {org_id}")
        return await make_link(db, member["id"], now)


async def only_org_of(store: Store, owner: str) -> str:
    """Return the organization that somebody owns. Raise NotFoundError, ConflictError."""
    async with store.read() as db:
        found = await users.organizations_of(db, owner, Role.OWNER)
    if not found:
        raise NotFoundError(f"{owner} owns no organization")
    if len(found) > 1:
        raise ConflictError(f"{owner} owns {', '.join(found)}: say which with --org-id")
    return found[0]


async def recover_key(
    store: Store, org_id: str, owner: str, now: datetime
) -> tuple[MadeKey, Sequence[str], Link]:
    """Make a key and a password link for an owner who has lost theirs.

    Return them with the ids of the owner's other keys, which go on to work. It is for who
    holds the database, and needs no caller. Raise NotFoundError if there is no such owner.
    """
    async with store.write() as db:
        member = await users.find_member(db, org_id, owner)
        if member is None or member["role"] != Role.OWNER:
            raise NotFoundError(f"{owner} is not an owner of {org_id}")
        others = await users.valid_keys(db, org_id, member["id"])
        made = await _add_key(db, org_id, member["id"], "recovered key", now)
        by = on_the_host(org_id, "init --recover")
        await audit.add_entry(db, by, "key.recover", made.id, now, owner=owner)
        return made, others, await make_link(db, member["id"], now)


async def _add_key(
    db: AsyncConnection,
    org_id: str,
    user_id: str,
    name: str,
    now: datetime,
    *,
    kind: CallerKind = CallerKind.API_KEY,
    scopes: Sequence[str] = (Access.ALL,),
    projects: Sequence[str] | None = None,
    environments: Sequence[str] | None = None,
) -> MadeKey:
    prefix = "rsu_live_" if kind is CallerKind.USER_TOKEN else "rsk_live_"
    made = MadeKey(new_id("key"), new_key(prefix))
    await orgs.add_key(
        db,
        NewKey(
            id=made.id,
            org_id=org_id,
            user_id=user_id,
            kind=kind,
            name=name,
            prefix=shown_prefix(made.text),
            digest=digest(made.text),
            scopes=scopes,
            projects=projects,
            environments=environments,
            created_at=now,
        ),
    )
    return made


async def revoke_key(platform: Platform, caller: Caller, key_id: str) -> None:
    """Revoke a key and end its streams. Raise NotFoundError if there is none."""
    require_admin(caller, Access.ADMIN)
    now = platform.now()
    async with platform.store.write() as db:
        if not await orgs.revoke_key(db, caller.org_id, key_id, now):
            raise NotFoundError("Key not found")
        await audit.add_entry(db, caller, "key.revoke", key_id, now)
    await platform.bus.publish(Message(Topic.KEY_REVOKED, (key_id,)))


async def list_keys(platform: Platform, caller: Caller) -> Sequence[RowMapping]:
    """Return the keys of the caller's organization, never their texts."""
    require_access(caller, Access.ADMIN)
    async with platform.store.read() as db:
        return await orgs.list_keys(db, caller.org_id)


async def add_host(
    platform: Platform, caller: Caller, hostname: str, host_id: str | None = None
) -> str:
    """Add a host before it registers, and return its id. Raise ConflictError."""
    require_admin(caller, Access.ADMIN)
    host_id, now = host_id or new_id("host"), platform.now()
    try:
        async with platform.store.write() as db:
            await hosts.add_host(db, host_id, caller.org_id, hostname, now)
            await audit.add_entry(db, caller, "host.add", host_id, now)
        platform.changes.note(caller.org_id)
    except IntegrityError:
        raise ConflictError(f"Host {host_id} is there already") from None
    return host_id


async def is_cloned(platform: Platform, host_id: str) -> bool:
    """Whether two daemons report as a host."""
    async with platform.store.read() as db:
        return bool(await cloned_hosts(db, platform.now(), host_id))


async def set_host_status(
    platform: Platform, caller: Caller, host_id: str, status: dict[str, Any] | None
) -> None:
    """Set the `hostStatus` that a host is told. Raise NotFoundError."""
    require_admin(caller, Access.ADMIN)
    now = platform.now()
    async with platform.store.write() as db:
        if not await hosts.set_host_status(db, caller.org_id, host_id, status):
            raise NotFoundError("Worker host not found")
        await audit.add_entry(db, caller, "host.status", host_id, now)
    platform.changes.note(caller.org_id)


async def get_host(platform: Platform, caller: Caller, host_id: str) -> RowMapping:
    """Return a host. Raise NotFoundError."""
    require_access(caller, Access.READ_MUTATIONS)
    async with platform.store.read() as db:
        host = await hosts.get_host(db, caller.org_id, host_id)
    if host is None:
        raise NotFoundError("Worker host not found")
    return host


async def list_hosts(
    platform: Platform,
    caller: Caller,
    *,
    after: tuple[str, str | None],
    limit: int,
    removed: bool = False,
) -> Sequence[RowMapping]:
    """Return the next hosts of the caller's organization by name and id."""
    require_access(caller, Access.READ_MUTATIONS)
    async with platform.store.read() as db:
        return await hosts.list_hosts(
            db, caller.org_id, after=after, limit=limit, removed=removed
        )


async def list_audit(
    platform: Platform, caller: Caller, wanted: audit.Filter, limit: int
) -> Sequence[RowMapping]:
    """Return the latest audit entries of the caller's organization, newest first.

    Every role reads them; the key of a host does not.
    """
    require_access(caller, Access.ADMIN)
    async with platform.store.read() as db:
        return await audit.latest(db, caller.org_id, wanted, limit)
