"""Fan-out: every live stream of this process is notified of each rotation once, in order.

Each stream knows the version up to which it has been notified. Who hears of a rotation
(by the bus, by the request that asked for it, by the reconciling read) notifies the streams
of its organization of everything after that, under a lock of the organization. What other
replicas ask for is confirmed to them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

import anyio
import anyio.lowlevel

from rensei_platform.bus.hub import Stream
from rensei_platform.bus.messages import Message, Topic
from rensei_platform.errors import UnavailableError
from rensei_platform.rules.credentials import Scope, delta, kinds_seen
from rensei_platform.rules.times import wire_time
from rensei_platform.services.platform import Platform
from rensei_platform.services.values import OrgValues
from rensei_platform.store import credentials, replicas
from rensei_platform.store.replicas import MOST_ROTATIONS, StoredRotation

SCOPE_LIFETIME = timedelta(hours=2)
"""After its last snapshot a scope no longer counts: a live session takes one every hour."""
SLICE = 256
"""Streams that are written to before others have their turn."""


async def notify_regularly(platform: Platform) -> None:
    """Notify the streams of what the bus brings, for ever."""
    while True:
        for org_id, rotation_ids in (await platform.fan_out.wait()).items():
            with suppress(UnavailableError):  # the reconciling read finds it again
                await notify_org(platform, org_id, rotation_ids)


async def notify_org(
    platform: Platform, org_id: str, rotation_ids: Iterable[str] = ()
) -> None:
    """Notify an organization's streams of the rotations that they have not heard of.

    What other replicas have asked for is confirmed to them; so is each of `rotation_ids`,
    also when nobody listens here. Raise UnavailableError.
    """
    counts = dict.fromkeys(rotation_ids, 0)
    async with platform.fan_out.lock(org_id):
        is_done = False
        while not is_done and (streams := platform.hub.of_org(org_id)):
            since = min(stream.version for stream in streams)
            async with platform.store.read() as db:
                version = await credentials.values_version(db, org_id)
                rotations = await replicas.rotations_since(db, org_id, since)
            for rotation in rotations:
                counts[rotation.id] = await _notify(platform, rotation, streams)
            is_done = len(rotations) < MOST_ROTATIONS
            if is_done:
                for stream in streams:
                    stream.version = max(stream.version, version)
    await _confirm(platform, counts)


async def _confirm(platform: Platform, counts: Mapping[str, int]) -> None:
    """Confirm to other servers how many sessions were notified of these rotations."""
    foreign = platform.fan_out.note(counts)
    if not foreign or platform.store.is_sqlite:
        return
    async with platform.store.write() as db:
        await replicas.confirm(db, platform.id, foreign)
    for rotation_id in foreign:
        await platform.bus.publish(Message(Topic.CONFIRMED, (rotation_id,)))


async def _notify(
    platform: Platform, rotation: StoredRotation, streams: Sequence[Stream]
) -> int:
    """Notify those of the streams that are not yet at the rotation; return how many.

    A stream whose scope is not known for sure gets no value, and so takes a snapshot.
    """
    values = await platform.values.current(rotation.org_id)
    async with platform.store.read() as db:
        since = platform.now() - SCOPE_LIFETIME
        scopes = await credentials.scopes_since(db, rotation.org_id, since)
        before = await credentials.last_rotations(db, rotation.org_id, rotation.version)
    frames: dict[Scope | None, bytes | None] = {None: _frame(rotation, {}, 0)}
    notified = 0
    for number, stream in enumerate(streams, 1):
        if stream.version < rotation.version:
            stream.version = rotation.version
            scope = _scope_of(stream, scopes)
            if scope is not None and scope not in frames:
                frames[scope] = _frame_for(scope, rotation, values, before)
            frame = frames[scope]
            notified += frame is not None and stream.push(frame)
        if number % SLICE == 0:
            await anyio.lowlevel.checkpoint()
    return notified


def _scope_of(stream: Stream, scopes: Mapping[tuple[str, str], set[Scope]]) -> Scope | None:
    """Return where a session stands. None if nobody knows, or two hosts share its id."""
    found = scopes.get((stream.key_id, stream.session_id), set())
    return next(iter(found)) if len(found) == 1 else None


def _frame_for(
    scope: Scope, rotation: StoredRotation, values: OrgValues, before: Mapping[str, int]
) -> bytes | None:
    """Return the frame for a scope; None if it sees nothing of the kind."""
    fresh = delta(values.sets, scope, rotation.kind)
    if not fresh:
        return None
    previous = max(
        (before.get(kind, 0) for kind in kinds_seen(values.sets, scope)), default=0
    )
    return _frame(rotation, fresh, previous)


def _frame(rotation: StoredRotation, values: Mapping[str, str], previous: int) -> bytes:
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
