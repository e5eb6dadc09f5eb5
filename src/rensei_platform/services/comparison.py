"""What hosts were asked for, what they acked and what they report, side by side."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules import drift
from rensei_platform.services.platform import Platform
from rensei_platform.store import mutations

MOST_COMPARED = 500
"""Mutations of a host that are looked at, the newest ones."""


async def project_states(
    platform: Platform, host: RowMapping, seen_at: datetime | None
) -> tuple[drift.ProjectState, ...]:
    """Return the projects of a host that the caller may see, with their drift."""
    async with platform.store.read() as db:
        history = await mutations.history(db, host["id"], MOST_COMPARED)
    return _compare(platform, host, drift.requests_of(history), seen_at)


async def count_drifts(
    platform: Platform,
    db: AsyncConnection,
    hosts: Sequence[RowMapping],
    seen_at: Mapping[str, datetime | None],
) -> dict[str, int]:
    """Return host id -> how many of its projects have drifted."""
    asked = await mutations.project_requests(
        db, [host["id"] for host in hosts], MOST_COMPARED
    )
    return {
        host["id"]: sum(
            state.is_drift
            for state in _compare(
                platform, host, asked.get(host["id"], []), seen_at.get(host["id"])
            )
        )
        for host in hosts
    }


def _compare(
    platform: Platform,
    host: RowMapping,
    requests: Sequence[drift.ProjectRequest],
    seen_at: datetime | None,
) -> tuple[drift.ProjectState, ...]:
    return drift.project_states(
        requests,
        dict(host),
        reported_at=host["reported_at"],
        seen_at=seen_at,
        interval=timedelta(milliseconds=platform.settings.heartbeat_interval_ms),
    )
