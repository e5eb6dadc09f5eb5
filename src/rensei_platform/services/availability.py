"""Whether the database answers, and what follows if it does not for long.

A stream is worth nothing while rotations cannot be read. So it is ended, and its daemon
asks elsewhere, or later.
"""

import time
from collections.abc import Awaitable, Callable

import anyio

from rensei_platform.bus.hub import Hub
from rensei_platform.errors import UnavailableError

CHECK_SECONDS = 5.0
AWAY_SECONDS = 30.0
"""Without an answer, after which the streams are ended."""


class Availability:
    """Watches the database of one server."""

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        hub: Hub,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ping, self._hub, self._clock = ping, hub, clock
        self._last_answer = clock()

    async def check(self) -> None:
        """Ask the database; end every stream if it has been away too long."""
        try:
            with anyio.fail_after(CHECK_SECONDS):
                await self._ping()
        except (UnavailableError, TimeoutError):
            if self._clock() - self._last_answer >= AWAY_SECONDS:
                self._hub.end_all()
        else:
            self._last_answer = self._clock()

    async def check_regularly(self) -> None:
        """Check every few seconds, for ever."""
        while True:
            await anyio.sleep(CHECK_SECONDS)
            await self.check()
