"""Removing a host that will not come back."""

from datetime import datetime

from sqlalchemy import RowMapping

from rensei_platform.errors import ConflictError, NotFoundError
from rensei_platform.rules.callers import Access, Caller, require_admin
from rensei_platform.rules.mutations import Status
from rensei_platform.services.platform import Platform
from rensei_platform.services.receipts import silent_since
from rensei_platform.store import audit, hosts, mutations, outcome_counts

REMOVED = "the host was removed"
"""The error of the mutations that it had not decided."""


async def remove_host(
    platform: Platform, caller: Caller, host_id: str, *, force: bool = False
) -> int:
    """Remove a host; return how many of its mutations are cancelled.

    Its workers and their tokens end, and no receipt waits for it. Its history and the audit
    stay; if it comes back, it is another host. Raise NotFoundError, or ConflictError for
    one that is alive unless `force`.
    """
    require_admin(caller, Access.ADMIN)
    now = platform.now()
    async with platform.store.write() as db:
        host = await hosts.get_host(db, caller.org_id, host_id)
        if host is None or host["removed_at"] is not None:
            raise NotFoundError("Worker host not found")
        seen_at = _last_seen(platform, host)
        if not force and seen_at is not None and seen_at >= silent_since(platform):
            raise ConflictError(
                f"{host['hostname']} is alive: stop its daemon first, or force the removal"
            )
        if not await hosts.remove_host(db, host_id, now):
            raise NotFoundError("Worker host not found")
        cancelled = await mutations.cancel_all(db, host_id, now, REMOVED)
        await outcome_counts.add(db, caller.org_id, {Status.CANCELLED: cancelled}, now)
        await audit.add_entry(
            db,
            caller,
            "host.remove",
            host_id,
            now,
            name=host["hostname"],
            machine=host["machine_id"],
            cancelled=cancelled,
        )
    return cancelled


def _last_seen(platform: Platform, host: RowMapping) -> datetime | None:
    """Return when a host has beaten or registered last. None: never."""
    beat = platform.presence.get(host["id"])
    times = (beat and beat[0], host["last_seen_at"], host["registered_at"])
    return max((at for at in times if at is not None), default=None)
