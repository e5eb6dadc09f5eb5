"""Credentials: snapshots, rotations, and what an operator stores and binds."""

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.bus.hub import Stream
from rensei_platform.errors import ConflictError, InvalidRequestError, NotFoundError
from rensei_platform.ids import new_id
from rensei_platform.providers.base import Binding
from rensei_platform.providers.database import ValueScope
from rensei_platform.providers.instances import DATABASE
from rensei_platform.rules.callers import (
    Access,
    Caller,
    require_access,
    require_admin,
    require_org,
    require_rotation,
    require_visible,
)
from rensei_platform.rules.credentials import BLOCKED_NAMES, Scope, delta, snapshot
from rensei_platform.rules.fields import Json
from rensei_platform.rules.refresh import refresh_until
from rensei_platform.rules.times import after, wire_time
from rensei_platform.services.platform import Platform
from rensei_platform.store import audit, credentials
from rensei_platform.store.credentials import StoredBinding

SCOPE_LIFETIME = timedelta(hours=2)
"""After its last snapshot a scope no longer counts: a live session takes one every hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What a rotation did."""

    id: str
    kind: str
    rotated_at: datetime
    session_count: int


# ---- what a session asks for -------------------------------------------------------------


async def take_snapshot(
    platform: Platform, caller: Caller, org_id: str, session_id: str | None, scope: Scope
) -> Json:
    """Return everything a scope sees now, and note that the session stands there.

    Raise ForbiddenError for another organization or a scope beyond the key's limits,
    UnavailableError if a provider fails and nothing of it is still good.
    """
    require_org(caller, org_id)
    require_access(caller, Access.SNAPSHOT)
    require_visible(caller, scope.project_id or None, scope.environment)
    values = await platform.values.for_scope(org_id, scope)
    now = platform.now()
    if session_id is not None:
        async with platform.store.write() as db:
            await credentials.note_scope(
                db,
                org_id=org_id,
                key_id=caller.key_id,
                session_id=session_id,
                scope=scope,
                version=values.version,
                now=now,
            )
    chance = random.random()  # noqa: S311 - not a secret
    expires_at = values.expires_at(scope)
    refresh_at = refresh_until(now, expires_at, platform.settings.refresh_interval, chance)
    return {
        "env": snapshot(values.sets, scope),
        "refreshUntil": wire_time(refresh_at),
        "version": values.version,
    }


# ---- rotations ---------------------------------------------------------------------------


async def rotate(platform: Platform, caller: Caller, org_id: str, kind: str) -> Rotation:
    """Resolve a kind again, and tell every live stream that sees it the fresh values.

    Equal values are told too: who listens computes the difference. Raise NotFoundError
    for a kind without a binding; ProviderError, and then nobody has been told anything.
    """
    require_rotation(caller, org_id)
    return await rotate_kind(platform, org_id, kind, requested_by=caller.name)


async def rotate_kind(
    platform: Platform, org_id: str, kind: str, *, requested_by: str
) -> Rotation:
    """Rotate, as a caller who may, or as the clock does when a lease has ended."""
    rotation_id = new_id("rot")

    async def record(db: AsyncConnection, version: int, last: datetime | None) -> datetime:
        rotated_at = after(last, platform.now())
        await credentials.add_rotation(
            db,
            org_id=org_id,
            version=version,
            id=rotation_id,
            kind=kind,
            requested_by=requested_by,
            rotated_at=rotated_at,
        )
        return rotated_at

    rotated_at = await platform.values.rotate(org_id, kind, record)
    begun = time.monotonic()
    count = await notify(platform, org_id, kind, rotated_at)
    async with platform.store.write() as db:
        milliseconds = round((time.monotonic() - begun) * 1000)
        await credentials.note_session_count(db, rotation_id, count, milliseconds)
    return Rotation(id=rotation_id, kind=kind, rotated_at=rotated_at, session_count=count)


async def notify(platform: Platform, org_id: str, kind: str, rotated_at: datetime) -> int:
    """Tell the streams of this process the values of a kind; return how many were told.

    A stream whose scope is not known for sure gets no value, and so takes a snapshot.
    """
    streams = platform.hub.of_org(org_id)
    if not streams:
        return 0
    values = await platform.values.current(org_id)
    async with platform.store.read() as db:
        since = platform.now() - SCOPE_LIFETIME
        scopes = await credentials.scopes_since(db, org_id, since)
    frames: dict[Scope | None, bytes | None] = {
        None: _frame({}, rotated_at, values.version)
    }
    told = 0
    for stream in streams:
        scope = _scope_of(stream, scopes)
        if scope not in frames:
            fresh = delta(values.sets, scope, kind) if scope else {}
            frames[scope] = _frame(fresh, rotated_at, values.version) if fresh else None
        frame = frames[scope]
        told += frame is not None and stream.push(frame)
    return told


def _scope_of(stream: Stream, scopes: Mapping[tuple[str, str], set[Scope]]) -> Scope | None:
    """Return where a session stands. None if nobody knows, or two hosts share its id."""
    found = scopes.get((stream.key_id, stream.session_id), set())
    return next(iter(found)) if len(found) == 1 else None


def _frame(values: Mapping[str, str], rotated_at: datetime, version: int) -> bytes:
    update = {
        "type": "UPDATE",
        "delta": values,
        "rotatedAt": wire_time(rotated_at),
        "version": version,
    }
    text = json.dumps(update, separators=(",", ":"))
    return f"event: UPDATE\ndata: {text}\n\n".encode()


# ---- what an operator stores and binds ---------------------------------------------------


async def set_values(
    platform: Platform, caller: Caller, scope: ValueScope, values: Mapping[str, str]
) -> None:
    """Store values, encrypted, and bind the kind to them. It tells no session."""
    require_admin(caller, Access.ADMIN)
    for name in values:
        if name in BLOCKED_NAMES:
            raise InvalidRequestError(f"{name} is a name of the platform's own")
    now = platform.now()

    async def write(db: AsyncConnection) -> None:
        await _bind_to_database(db, scope, now)
        for name, value in values.items():
            await credentials.put_value(
                db,
                org_id=scope.org_id,
                kind=scope.kind,
                project_id=scope.project_id,
                environment=scope.environment,
                name=name,
                sealed=platform.sealer.seal(value, scope.identity(name)),
                updated_at=now,
                updated_by=caller.name,
            )
        await audit.add_entry(
            db, caller, "credential.set", scope.path, now, names=sorted(values)
        )

    where = Scope(scope.project_id, scope.environment)
    await platform.values.change(scope.org_id, scope.kind, where, write)


async def _bind_to_database(db: AsyncConnection, scope: ValueScope, now: datetime) -> None:
    """Bind a kind to stored values. Raise ConflictError if another provider is bound."""
    for one in await credentials.find_bindings(db, scope.org_id, scope.kind):
        if (one.project_id, one.environment) == (scope.project_id, scope.environment):
            if one.provider != DATABASE:
                raise ConflictError(
                    f"{scope.kind} is bound to the provider {one.provider}; unbind it first"
                )
            return
    await credentials.put_binding(db, _to_database(scope), now)


def _to_database(scope: ValueScope) -> StoredBinding:
    return StoredBinding(
        id=new_id("bind"),
        org_id=scope.org_id,
        kind=scope.kind,
        project_id=scope.project_id,
        environment=scope.environment,
        provider=DATABASE,
        path=scope.path,
        names={},
    )


async def bind(platform: Platform, caller: Caller, binding: StoredBinding) -> None:
    """Bind a kind to a path of a provider. It is resolved at first need."""
    require_admin(caller, Access.ADMIN)
    platform.registry.check(
        Binding(
            org_id=binding.org_id,
            kind=binding.kind,
            provider=binding.provider,
            path=binding.path,
            names=binding.names,
        )
    )
    now = platform.now()

    async def write(db: AsyncConnection) -> None:
        await credentials.put_binding(db, binding, now)
        await audit.add_entry(
            db, caller, "credential.bind", binding.kind, now, provider=binding.provider
        )

    where = Scope(binding.project_id, binding.environment)
    await platform.values.change(binding.org_id, binding.kind, where, write)


async def unbind(
    platform: Platform, caller: Caller, kind: str, project_id: str, environment: str
) -> None:
    """Remove a binding. Raise NotFoundError if there is none."""
    require_admin(caller, Access.ADMIN)
    now = platform.now()

    async def write(db: AsyncConnection) -> None:
        if not await credentials.remove_binding(
            db, caller.org_id, kind, project_id, environment
        ):
            raise NotFoundError(f"Credential kind {kind} is not configured")
        await audit.add_entry(db, caller, "credential.unbind", kind, now)

    where = Scope(project_id, environment)
    await platform.values.change(caller.org_id, kind, where, write)


async def list_bindings(platform: Platform, caller: Caller) -> list[StoredBinding]:
    """Return the bindings of the caller's organization."""
    require_access(caller, Access.ADMIN)
    async with platform.store.read() as db:
        return await credentials.find_bindings(db, caller.org_id)
