"""Hosts that two daemons report as: machines that were cloned, and share a machine id."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.clones import is_cloned
from rensei_platform.services.presence import SEEN_EVERY
from rensei_platform.store import workers


async def cloned_hosts(
    db: AsyncConnection, now: datetime, host_id: str | None = None
) -> list[str]:
    """Return the names of hosts that two daemons report as; of one host if it is given.

    It is found by the first heartbeat that comes more than a minute after the other daemon
    has registered, whichever replicas they reach. It is forgotten within twenty of its end.
    """
    many = await workers.with_many_workers(db, now - 2 * SEEN_EVERY, host_id)
    return sorted({name for name, seen in many.values() if is_cloned(seen)})
