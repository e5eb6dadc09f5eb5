"""Work that is deferred until a rotation has been delivered.

One rotation may reach every session of a host, and the last session waits for all the
others. Nobody waits for the board and the log, so they are updated after the values have
been delivered.
"""

from collections.abc import Callable

import anyio

from rensei_daemon.wake_event import WakeEvent

MOMENT_SECONDS = 0.05
"""Long enough for a rotation of 50 sessions, too short to show in a status."""

Work = Callable[[], None]


class DeferredWork:
    """Work that is due, in the order in which it was first requested."""

    def __init__(self) -> None:
        self._due: dict[Work, None] = {}
        self._wake_event = WakeEvent()

    def run_soon(self, work: Work) -> None:
        """Run `work` shortly; several calls before then run it once."""
        self._due[work] = None
        self._wake_event.set()

    def cancel(self, work: Work) -> None:
        """Do not run `work`; its owner has ended."""
        self._due.pop(work, None)

    async def run(self) -> None:
        """Run the work that is due, until cancelled; then run the rest."""
        try:
            while True:
                await self._wake_event.wait()
                await anyio.sleep(MOMENT_SECONDS)
                self._run_all()
        finally:
            self._run_all()

    def _run_all(self) -> None:
        due, self._due = self._due, {}
        for work in due:
            work()
