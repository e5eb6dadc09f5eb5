"""Several servers of one database: who is there, and what each finds again by reading.

Every few seconds a server says that it is there, and reads what it may not have heard of:
rotations of the organizations that listen here, and keys that were revoked. So a message
that is lost delays what it is about by that much, and loses nothing.
"""

from datetime import datetime, timedelta

import anyio
import structlog
from anyio.abc import TaskStatus

from rensei_platform.bus.messages import Topic
from rensei_platform.errors import UnavailableError
from rensei_platform.services.fan_out import notify_org
from rensei_platform.services.platform import Platform
from rensei_platform.store import orgs, replicas
from rensei_platform.version import version

SLACK = timedelta(minutes=1)
"""How far back revoked keys are looked for: clocks differ, and commits take a while."""
MISSED_READS = 3
"""After which a server that says nothing counts as gone."""
RECHECK_SECONDS = 0.25

_log = structlog.get_logger()


async def reconcile_regularly(
    platform: Platform, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Reconcile every few seconds, and when the bus has missed something; for ever."""
    missed = anyio.Event()

    def hear(_: object) -> None:
        missed.set()

    platform.bus.subscribe(Topic.MISSED, hear)
    while True:
        missed = anyio.Event()
        try:
            await reconcile(platform)
        except UnavailableError as error:
            platform.log_limit.warning("reconcile.failed", reason=str(error))
        task_status.started()
        task_status = anyio.TASK_STATUS_IGNORED
        with anyio.move_on_after(platform.settings.reconcile_seconds):
            await missed.wait()


async def reconcile(platform: Platform) -> None:
    """Say that this server is there, and catch up. Raise UnavailableError."""
    now = platform.now()
    listening = platform.hub.orgs()
    if not platform.store.is_sqlite:
        async with platform.store.write() as db:
            await replicas.note_replica(
                db, platform.id, version(), platform.schema, len(platform.hub)
            )
        servers = 1 + len(await _all_others(platform))
        platform.failures.servers = platform.account_failures.servers = servers
    async with platform.store.read() as db:
        since = min(now, platform.fan_out.last_reconciled) - SLACK
        revoked = await orgs.revoked_since(db, since)
        versions = await replicas.versions(db, listening)
    if revoked:
        platform.hub.end_of_keys(frozenset(revoked))
    for org_id, newest in versions.items():
        if any(stream.version < newest for stream in platform.hub.of_org(org_id)):
            await notify_org(platform, org_id)
    platform.fan_out.last_reconciled = now


async def leave(platform: Platform) -> None:
    """Say that this server stops, so that nobody waits for it."""
    if not platform.store.is_sqlite:
        async with platform.store.write() as db:
            await replicas.remove_replica(db, platform.id)


async def count_elsewhere(platform: Platform, rotation_id: str) -> int:
    """Return how many sessions the other servers have notified of a rotation.

    Each has some time to confirm. One that does not is logged, and not waited for again
    until it has said once more that it is there.
    """
    if platform.store.is_sqlite:
        return 0
    awaited = await _others(platform)
    counts: dict[str, int] = {}
    with anyio.move_on_after(platform.settings.confirm_seconds):
        while awaited:
            async with platform.store.read() as db:
                counts = await replicas.confirmations(db, rotation_id)
            if awaited.keys() <= counts.keys():
                break
            await platform.fan_out.counted(rotation_id).wait_confirmed(RECHECK_SECONDS)
    for replica_id in awaited.keys() - counts.keys():
        platform.fan_out.silent[replica_id] = awaited[replica_id]
        _log.warning("rotation.replica_silent", replica=replica_id, rotation=rotation_id)
    return sum(counts.values())


async def _others(platform: Platform) -> dict[str, datetime]:
    """Return the servers that are there, but for those that were silent since."""
    found, silent = await _all_others(platform), platform.fan_out.silent
    return {id_: seen for id_, seen in found.items() if silent.get(id_) != seen}


async def _all_others(platform: Platform) -> dict[str, datetime]:
    within = timedelta(seconds=platform.settings.reconcile_seconds * MISSED_READS)
    async with platform.store.read() as db:
        return await replicas.others(db, platform.id, within)
