"""How late the event loop is: what every loop of the daemon waits, now and then."""

import anyio

from rensei_daemon.core.counters import Histogram

LOOK_SECONDS = 5.0
"""Seldom, so that an idle daemon hardly wakes for it; it adds up all the same."""


async def measure_lag(lag: Histogram, every_seconds: float = LOOK_SECONDS) -> None:
    """Sleep, and count by how much that was too long; never returns."""
    while True:
        due = anyio.current_time() + every_seconds
        await anyio.sleep(every_seconds)
        lag.observe(max(0.0, anyio.current_time() - due))
