"""Sessions of the console: how they begin, what they may do, and how they end."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping

from rensei_platform.errors import (
    ForbiddenError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
)
from rensei_platform.ids import digest, new_key
from rensei_platform.rules.callers import (
    Access,
    Caller,
    CallerKind,
    Role,
    require_access,
)
from rensei_platform.services.callers import caller_of
from rensei_platform.services.known_browsers import account_of
from rensei_platform.services.passwords import is_password
from rensei_platform.services.platform import Platform
from rensei_platform.store import audit, console_sessions

LIFETIME = timedelta(hours=12)
"""After which a session ends, however much it is used."""
IDLE = timedelta(hours=1)
"""After which a session that is not used ends."""
NOTE_EVERY = timedelta(minutes=1)
"""Between two writes of when a session was used last."""
COOKIE_PREFIX = "rsc_live_"
_READS = frozenset({Access.READ_MUTATIONS, Access.ADMIN})
"""What a session that began with a key may do, if its key may: look."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is valid now."""

    digest: str
    caller: Caller
    csrf_token: str = field(repr=False)
    """What a form has to send back."""
    org_name: str
    is_look: bool
    """Whether it began with a key, and so may only read."""


async def sign_in(
    platform: Platform, email: str, password: str, address: str, known: str | None = None
) -> str:
    """Begin a session with a password, and return the text of its cookie.

    `known` is what the browser has kept of an earlier one, if it has. Raise
    UnauthorizedError for a wrong password, TooManyRequestsError for an address that has
    tried too many, or for an account that too many were tried for, ForbiddenError for a
    user who belongs to no organization.
    """
    platform.availability.require()
    account = account_of(platform.sealer, known, email, platform.now())
    with platform.failures.attempt(address), platform.account_failures.attempt(account):
        user = await _user_with(platform, email, password)
    async with platform.store.read() as db:
        found = await console_sessions.memberships(db, user["id"])
    if not found:
        raise ForbiddenError("You belong to no organization.")
    caller = Caller(
        kind=CallerKind.SESSION,
        org_id=found[0]["org_id"],
        user_id=user["id"],
        name=user["email"],
        role=Role(found[0]["role"]),
        address=address,
    )
    return await _begin(platform, caller, None)


async def _user_with(platform: Platform, email: str, password: str) -> RowMapping:
    """Return the user with a password. Raise UnauthorizedError."""
    async with platform.store.read() as db:
        user = await console_sessions.find_user(db, email.lower())
    hashed = None if user is None else user["password_hash"]
    if not await is_password(hashed, password) or user is None:
        raise UnauthorizedError("The address or the password is wrong.")
    return user


async def sign_in_with_key(platform: Platform, key: str, address: str) -> str:
    """Begin a session that may look with an API key, and return its cookie's text.

    Raise UnauthorizedError for a key that is none, ForbiddenError if it may not read.
    """
    caller = await caller_of(platform, key, address)
    require_access(caller, Access.READ_MUTATIONS)
    return await _begin(platform, caller, caller.key_id)


async def _begin(platform: Platform, caller: Caller, key_id: str | None) -> str:
    now, text = platform.now(), new_key(COOKIE_PREFIX)
    async with platform.store.write() as db:
        await console_sessions.add_session(
            db,
            digest=digest(text),
            user_id=caller.user_id,
            org_id=caller.org_id,
            csrf_token=new_key(""),
            created_at=now,
            expires_at=now + LIFETIME,
            seen_at=now,
            key_id=key_id,
        )
        with_what = "password" if key_id is None else "key"
        await audit.add_entry(
            db, caller, "session.begin", caller.name, now, **{"with": with_what}
        )
    return text


async def session_of(platform: Platform, cookie: str | None, address: str) -> Session:
    """Return the session of a cookie. Raise UnauthorizedError if there is none."""
    platform.availability.require()
    if cookie is None or not cookie.startswith(COOKIE_PREFIX):
        raise UnauthorizedError
    now, id_ = platform.now(), digest(cookie)
    row = await console_sessions.find_session(platform.store, id_)
    if row is None or _has_ended(row, now):
        raise UnauthorizedError
    if row["seen_at"] is None or abs(now - row["seen_at"]) >= NOTE_EVERY:
        with suppress(UnavailableError):  # a page that only reads needs no write
            async with platform.store.write() as db:
                await console_sessions.note_seen(db, id_, now)
    return Session(
        id_, _caller(row, address), row["csrf_token"], row["org_name"], _is_look(row)
    )


async def is_alive(platform: Platform, session: Session) -> bool:
    """Whether a session is still valid; asking does not prolong it."""
    row = await console_sessions.find_session(platform.store, session.digest)
    return (
        row is not None
        and not _has_ended(row, platform.now())
        and row["org_id"] == session.caller.org_id
    )


def _has_ended(row: Mapping[str, Any], now: datetime) -> bool:
    idle_since = row["seen_at"] or row["created_at"]
    key_ends = row["key_expires_at"]
    return bool(
        row["expires_at"] <= now
        or abs(now - idle_since) >= IDLE  # or it was used by a clock that was ahead
        or (_is_look(row) and (row["scopes"] is None or row["revoked_at"] is not None))
        or (key_ends is not None and key_ends <= now)
    )


def _is_look(row: Mapping[str, Any]) -> bool:
    return row["key_id"] is not None


def _caller(row: Mapping[str, Any], address: str) -> Caller:
    """Return who a session speaks for; one that began with a key has no role that acts."""
    scopes, role = frozenset({Access.ALL.value}), Role(row["role"])
    if _is_look(row):
        of_key = frozenset(row["scopes"])
        scopes, role = _READS if Access.ALL in of_key else _READS & of_key, Role.AUDITOR
    return Caller(
        kind=CallerKind.SESSION,
        org_id=row["org_id"],
        user_id=row["user_id"],
        name=row["email"],
        role=role,
        scopes=frozenset(scopes),
        key_id=f"session_{row['digest'][:12]}",
        projects=None if row["projects"] is None else tuple(row["projects"]),
        environments=None if row["environments"] is None else tuple(row["environments"]),
        address=address,
        is_operator=row["is_operator"] and not _is_look(row),
    )


async def sign_out(platform: Platform, session: Session) -> None:
    """End a session."""
    now = platform.now()
    async with platform.store.write() as db:
        await console_sessions.end_session(db, session.digest)
        await audit.add_entry(db, session.caller, "session.end", session.caller.name, now)
    platform.changes.note(session.caller.org_id)


async def sign_out_everywhere(platform: Platform, session: Session) -> None:
    """End every session of the user, this one too. Raise ForbiddenError for a look."""
    if session.is_look:
        raise ForbiddenError("A session that began with a key ends only itself")
    caller, now = session.caller, platform.now()
    async with platform.store.write() as db:
        await console_sessions.end_sessions(db, caller.user_id or "")
        await audit.add_entry(db, caller, "session.end_all", caller.name, now)
    platform.changes.note(caller.org_id)


async def organizations(platform: Platform, session: Session) -> list[tuple[str, str]]:
    """Return (id, name) of the organizations that the session's user belongs to."""
    if session.is_look:
        return [(session.caller.org_id, session.org_name)]
    async with platform.store.read() as db:
        found = await console_sessions.memberships(db, session.caller.user_id or "")
    return [(row["org_id"], row["name"]) for row in found]


async def use_organization(platform: Platform, session: Session, org_id: str) -> None:
    """Look at another organization of the user. Raise NotFoundError if it is not theirs."""
    if org_id not in dict(await organizations(platform, session)):
        raise NotFoundError("You do not belong to this organization")
    async with platform.store.write() as db:
        await console_sessions.use_org(db, session.digest, org_id)
