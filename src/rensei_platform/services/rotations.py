"""Rotations: resolve a kind again, and tell every live stream that sees it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.bus.hub import Stream
from rensei_platform.ids import new_id
from rensei_platform.rules.callers import Caller, require_rotation
from rensei_platform.rules.credentials import Scope, delta, kinds_seen
from rensei_platform.rules.times import after, wire_time
from rensei_platform.services.platform import Platform
from rensei_platform.services.values import OrgValues
from rensei_platform.store import credentials

SCOPE_LIFETIME = timedelta(hours=2)
"""After its last snapshot a scope no longer counts: a live session takes one every hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A rotation, and what became of it."""

    id: str
    org_id: str
    kind: str
    version: int
    """Of the organization's values, by this rotation."""
    rotated_at: datetime
    session_count: int = 0
    """Sessions that were notified."""


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

    async def record(db: AsyncConnection, version: int, last: datetime | None) -> Rotation:
        rotation = Rotation(
            id=new_id("rot"),
            org_id=org_id,
            kind=kind,
            version=version,
            rotated_at=after(last, platform.now()),
        )
        await credentials.add_rotation(
            db,
            org_id=org_id,
            version=version,
            id=rotation.id,
            kind=kind,
            requested_by=requested_by,
            rotated_at=rotation.rotated_at,
        )
        return rotation

    rotation = await platform.values.rotate(org_id, kind, record)
    begun = time.monotonic()
    count = await notify(platform, rotation)
    async with platform.store.write() as db:
        milliseconds = round((time.monotonic() - begun) * 1000)
        await credentials.note_session_count(db, rotation.id, count, milliseconds)
    return replace(rotation, session_count=count)


async def notify(platform: Platform, rotation: Rotation) -> int:
    """Tell the streams of this process of a rotation; return how many were told.

    A stream whose scope is not known for sure gets no value, and so takes a snapshot.
    """
    streams = platform.hub.of_org(rotation.org_id)
    if not streams:
        return 0
    values = await platform.values.current(rotation.org_id)
    async with platform.store.read() as db:
        since = platform.now() - SCOPE_LIFETIME
        scopes = await credentials.scopes_since(db, rotation.org_id, since)
        before = await credentials.last_rotations(db, rotation.org_id, rotation.version)
    frames: dict[Scope | None, bytes | None] = {None: _frame(rotation, {}, 0)}
    told = 0
    for stream in streams:
        scope = _scope_of(stream, scopes)
        if scope is not None and scope not in frames:
            frames[scope] = _frame_for(scope, rotation, values, before)
        frame = frames[scope]
        told += frame is not None and stream.push(frame)
    return told


def _scope_of(stream: Stream, scopes: Mapping[tuple[str, str], set[Scope]]) -> Scope | None:
    """Return where a session stands. None if nobody knows, or two hosts share its id."""
    found = scopes.get((stream.key_id, stream.session_id), set())
    return next(iter(found)) if len(found) == 1 else None


def _frame_for(
    scope: Scope, rotation: Rotation, values: OrgValues, before: Mapping[str, int]
) -> bytes | None:
    """Return the frame for a scope; None if it sees nothing of the kind."""
    fresh = delta(values.sets, scope, rotation.kind)
    if not fresh:
        return None
    previous = max(
        (before.get(kind, 0) for kind in kinds_seen(values.sets, scope)), default=0
    )
    return _frame(rotation, fresh, previous)


def _frame(rotation: Rotation, values: Mapping[str, str], previous: int) -> bytes:
    """Return the event of a rotation.

    Its version is the rotation's, also when the values are newer: it says nothing of the
    other kinds that have changed since. Who holds `previous` holds `version` with it.
    """
    update = {
        "type": "UPDATE",
        "delta": values,
        "rotatedAt": wire_time(rotation.rotated_at),
        "version": rotation.version,
        "previousVersion": previous,
    }
    text = json.dumps(update, separators=(",", ":"))
    return f"event: UPDATE\ndata: {text}\n\n".encode()
