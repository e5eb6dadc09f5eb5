"""Reports what the sessions hold soon after it has changed.

A rotation reaches every host of a fleet at once. So each waits a random time before its
heartbeat, and says then how far it is.
"""

import anyio

from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.uptake import may_change_silently
from rensei_daemon.tasks.heartbeat import HeartbeatSender
from rensei_daemon.wake_event import WakeEvent

SPREAD_SECONDS = 5.0
LOOK_SECONDS = 5.0
"""How often consumers that have older values are looked at."""


async def report_uptake(
    heartbeat: HeartbeatSender, *, wake_heartbeat: WakeEvent, draw: Draw
) -> None:
    """Have a heartbeat sent whenever there is something new to report; never return."""
    changed = heartbeat.uptake_changed
    heartbeat.board.on_session_change = changed.set
    while True:
        may_change = may_change_silently(heartbeat.board.sessions.values())
        await changed.wait(within=LOOK_SECONDS if may_change else None)
        if heartbeat.owed_uptake() is None:
            continue
        await anyio.sleep(draw(0.0, SPREAD_SECONDS))
        wake_heartbeat.set()
