"""Measures how late the event loop runs its tasks."""

import anyio

from rensei_daemon.core.counters import Histogram

LOOK_SECONDS = 5.0
"""Rarely, so that an idle daemon hardly wakes up for it."""


async def measure_lag(lag: Histogram, every_seconds: float = LOOK_SECONDS) -> None:
    """Sleep repeatedly and record by how much each sleep was too long; never return."""
    while True:
        due = anyio.current_time() + every_seconds
        await anyio.sleep(every_seconds)
        lag.observe(max(0.0, anyio.current_time() - due))
