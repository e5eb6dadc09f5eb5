"""Sends what several sessions' readers are to have, one right after the other.

A rotation may reach every session of a host within milliseconds. To wake a process takes
several times as long as to send to one that is awake, and it then runs beside the daemon
on the same processor. So a few sessions are sent together what came for them in the same
turn of the event loop; what comes for one alone waits for the next turn.
"""

from collections.abc import Callable

from rensei_daemon.wake_event import WakeEvent

MOST_SESSIONS = 12
"""Sent to at once: readers of the first should not wait for those of the last of many."""

Send = Callable[[], None]


class Bursts:
    """What is to be sent, in the order in which it was first requested."""

    def __init__(self) -> None:
        self._due: dict[Send, None] = {}
        self._wake_event = WakeEvent()
        self._is_running = False

    def request(self, send: Send) -> None:
        """Call `send` in the next turn at the latest; without `run`, at once."""
        self._due[send] = None
        if len(self._due) >= MOST_SESSIONS or not self._is_running:
            self._send_all()
        else:
            self._wake_event.set()

    async def run(self) -> None:
        """Send what was requested, until cancelled."""
        self._is_running = True
        try:
            while True:
                await self._wake_event.wait()
                self._send_all()
        finally:
            self._is_running = False
            self._send_all()

    def _send_all(self) -> None:
        due, self._due = self._due, {}
        for send in due:
            send()
