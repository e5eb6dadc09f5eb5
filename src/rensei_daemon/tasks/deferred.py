"""What can wait until everybody has been told: done a moment after a rotation.

One rotation may reach every session of a host, and the last of them waits for all the
others. So whatever nobody waits for, which is the board and the log, is put off until the
values are out.
"""

from collections.abc import Callable

import anyio

from rensei_daemon.tasks.wake_event import WakeEvent

MOMENT_SECONDS = 0.05
"""Long enough for a rotation of fifty sessions, and too short to be seen in a status."""

Work = Callable[[], None]


class DeferredWork:
    """Work that is due, in the order in which it was first asked for."""

    def __init__(self) -> None:
        self._due: dict[Work, None] = {}
        self._bell = WakeEvent()

    def run_soon(self, work: Work) -> None:
        """Have this done a moment later: once, however often it is asked for by then."""
        self._due[work] = None
        self._bell.set()

    def cancel(self, work: Work) -> None:
        """Have this done no more: whoever asked for it is over."""
        self._due.pop(work, None)

    async def run(self) -> None:
        """Do what is due, when it is; never returns, and leaves nothing undone."""
        try:
            while True:
                await self._bell.wait()
                await anyio.sleep(MOMENT_SECONDS)
                self._run_all()
        finally:
            self._run_all()

    def _run_all(self) -> None:
        due, self._due = self._due, {}
        for work in due:
            work()
