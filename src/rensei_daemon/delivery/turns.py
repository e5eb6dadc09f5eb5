"""Short work of all sessions, one piece in each turn of the event loop.

A rotation may reach every session of a host within milliseconds. All of them have their
sockets served before the first file is written: work begins when no more of it has come for
a moment, so that it delays none that is to come. Then what arrives is handled between two
pieces.
"""

from collections.abc import Callable

import anyio
import anyio.lowlevel

from rensei_daemon.wake_event import WakeEvent

CALM_TURNS = 3
"""From an event in a socket to its work: two turns wake the reader, one handles it."""
MOST_SECONDS = 0.01
"""How long work may wait for that: somewhere a value may change all the time."""
IDLE_SECONDS = 1.0
"""How long others wait for all work to be done: of a session whose values change all the
time, some is always due, and the hooks of all others would never run."""

Work = Callable[[], None]


class Turns:
    """Work that waits for its turn, in the order in which it was first requested."""

    def __init__(self) -> None:
        self._due: dict[Work, None] = {}
        self._requests = 0
        self._wake_event = WakeEvent()
        self._idle: anyio.Event | None = None
        """Set when nothing waits any more; None while nobody waits for that."""

    def request(self, work: Work) -> None:
        """Run `work` in a turn of its own; several requests before then run it once."""
        self._due[work] = None
        self._requests += 1
        self._wake_event.set()

    def cancel(self, work: Work) -> None:
        """Do not run `work`; its owner has ended."""
        self._due.pop(work, None)

    async def wait_idle(self) -> None:
        """Wait until all that waits for its turn now, and what joins it, is done.

        At most `IDLE_SECONDS`.
        """
        if self._due:
            self._idle = self._idle or anyio.Event()
            with anyio.move_on_after(IDLE_SECONDS):
                await self._idle.wait()

    async def run(self) -> None:
        """Run the work that is due, until cancelled."""
        while True:
            await self._wake_event.wait()
            await self._wait_calm()
            while self._due:
                work = next(iter(self._due))
                del self._due[work]
                work()
                await anyio.lowlevel.checkpoint()
            if self._idle is not None:
                self._idle.set()
                self._idle = None

    async def _wait_calm(self) -> None:
        """Wait while work comes in every turn, for a limited time."""
        give_up_at = anyio.current_time() + MOST_SECONDS
        calm = 0
        while calm < CALM_TURNS and anyio.current_time() < give_up_at:
            seen = self._requests
            await anyio.lowlevel.checkpoint()
            calm = calm + 1 if self._requests == seen else 0
