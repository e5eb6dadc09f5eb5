"""Rotations: resolve a kind again, and tell every live stream that sees it."""

import time
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.bus.messages import Message, Topic
from rensei_platform.errors import UnavailableError
from rensei_platform.ids import new_id
from rensei_platform.providers.base import ResolveError
from rensei_platform.rules.callers import Caller, require_rotation
from rensei_platform.rules.times import after
from rensei_platform.services.audit import note
from rensei_platform.services.fan_out import notify_org
from rensei_platform.services.fan_out_state import Counted
from rensei_platform.services.platform import Platform
from rensei_platform.services.replication import count_elsewhere
from rensei_platform.store import audit, credentials

ROTATE = "credential.rotate"
"""What the audit calls a rotation."""


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

    Equal values are sent too: the daemon computes the difference. Raise NotFoundError
    for a kind without a binding; ResolveError, and then nothing was sent, and the audit
    says so.
    """
    require_rotation(caller, org_id)
    try:
        return await rotate_kind(platform, org_id, kind, requested_by=caller.name)
    except ResolveError as error:
        why = {"provider": error.instance, "cause": error.cause}
        await note(platform, caller, ROTATE, kind, outcome=audit.FAILED, **why)
        raise


async def rotate_kind(
    platform: Platform, org_id: str, kind: str, *, requested_by: str
) -> Rotation:
    """Rotate, as a caller who may, or as the clock does when a lease has ended."""
    rotation_id = new_id("rot")

    async def record(db: AsyncConnection, version: int, last: datetime | None) -> Rotation:
        rotation = Rotation(
            id=rotation_id,
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

    with platform.fan_out.counting(rotation_id) as here:
        rotation = await platform.values.rotate(org_id, kind, record)
        try:
            count = await _notify_and_count(platform, rotation, here)
        except UnavailableError as error:
            # It has happened: with an error it would be asked for again, and a provider
            # that makes values would make others. Who has not heard of it will.
            count = here.count
            platform.log_limit.warning(
                "rotation.not_counted", rotation=rotation_id, reason=str(error)
            )
    platform.changes.note(org_id)
    return replace(rotation, session_count=count)


async def _notify_and_count(platform: Platform, rotation: Rotation, here: Counted) -> int:
    """Notify the sessions, and note and return how many. Raise UnavailableError."""
    begun = time.monotonic()
    await platform.bus.publish(Message(Topic.ROTATION, (rotation.org_id, rotation.id)))
    await notify_org(platform, rotation.org_id)
    count = here.count + await count_elsewhere(platform, rotation.id)
    async with platform.store.write() as db:
        milliseconds = round((time.monotonic() - begun) * 1000)
        await credentials.note_session_count(db, rotation.id, count, milliseconds)
    return count
