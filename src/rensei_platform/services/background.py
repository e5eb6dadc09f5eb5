"""What a server does beside its requests, from before the first until after the last."""

from contextlib import suppress
from functools import partial

import anyio
from anyio.abc import TaskStatus

from rensei_platform.bus.hub import keep_alive
from rensei_platform.errors import UnavailableError
from rensei_platform.services.announcements import announce_regularly
from rensei_platform.services.fan_out import notify_regularly
from rensei_platform.services.lease_keeper import LeaseKeeper
from rensei_platform.services.platform import Platform
from rensei_platform.services.replication import leave, reconcile_regularly
from rensei_platform.services.retention import prune_regularly
from rensei_platform.services.rotations import rotate_kind
from rensei_platform.services.steady_clock import steady

_GOODBYE_SECONDS = 5.0
"""For the last writes of a server that stops."""


async def run_in_background(platform: Platform, *, task_status: TaskStatus[None]) -> None:
    """Do it until cancelled. It has started when others know that this server is there."""
    settings = platform.settings
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(platform.bus.run)
            await tasks.start(reconcile_regularly, platform)
            tasks.start_soon(notify_regularly, platform)
            tasks.start_soon(platform.changes.tell_regularly)
            tasks.start_soon(announce_regularly, platform)
            tasks.start_soon(platform.availability.check_regularly)
            tasks.start_soon(keep_alive, platform.hub, settings.keepalive_seconds)
            tasks.start_soon(
                platform.presence.write_regularly, platform.store, settings.presence_seconds
            )
            tasks.start_soon(_keeper_of(platform).run)
            tasks.start_soon(
                platform.refusals.write_regularly, platform.store, platform.now
            )
            tasks.start_soon(
                prune_regularly,
                platform.store,
                steady(platform.now),
                settings.retention,
                settings.audit_retention,
            )
            task_status.started()
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_GOODBYE_SECONDS):
            await _say_goodbye(platform)


async def _say_goodbye(platform: Platform) -> None:
    await platform.presence.write(platform.store)
    await platform.refusals.write(platform.store, platform.now)
    with suppress(UnavailableError):  # the others notice it in time
        await leave(platform)


def _keeper_of(platform: Platform) -> LeaseKeeper:
    """Return what renews the leases of a platform, and rotates what it cannot renew."""
    rotate = partial(rotate_kind, platform, requested_by="lease-keeper")
    return LeaseKeeper(
        platform.store,
        platform.locks,
        platform.registry,
        platform.sealer,
        rotate,
        platform.now,
    )
