"""What a host was asked for, what it acked and what it reports, side by side."""

from datetime import datetime, timedelta

from sqlalchemy import RowMapping

from rensei_platform.rules import drift
from rensei_platform.services.platform import Platform
from rensei_platform.store import mutations

MOST_COMPARED = 500
"""Mutations that are looked at, the newest ones."""


async def project_states(
    platform: Platform, host: RowMapping, seen_at: datetime | None
) -> tuple[drift.ProjectState, ...]:
    """Return the projects of a host that the caller may see, with their drift."""
    async with platform.store.read() as db:
        history = await mutations.history(db, host["id"], MOST_COMPARED)
    return drift.project_states(
        history,
        dict(host),
        reported_at=host["reported_at"],
        seen_at=seen_at,
        interval=timedelta(milliseconds=platform.settings.heartbeat_interval_ms),
    )
