"""Whether the database and the bus are there, and what follows if they are not for long.

A stream is worth nothing while rotations cannot be read or heard of. So it is ended, and
its daemon asks elsewhere, or later; requests are answered 503 until both are back.
"""

import time
from collections.abc import Awaitable, Callable

import anyio
import structlog

from rensei_platform.bus.hub import Hub, end_spread
from rensei_platform.bus.messages import Bus
from rensei_platform.errors import UnavailableError

CHECKS = 6
"""Until they have been away too long."""
PING_SECONDS = 5.0
"""For the database's answer to a check."""
RETRY_AFTER_SECONDS = 10

_log = structlog.get_logger()


class Availability:
    """Watches the database and the bus of one server."""

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        bus: Bus,
        hub: Hub,
        *,
        away_seconds: float = 30.0,
        spread_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ping, self._bus, self._hub, self._clock = ping, bus, hub, clock
        self._away_seconds, self._spread_seconds = away_seconds, spread_seconds
        self._last_answer = clock()
        self.is_away = False
        """Whether the database or the bus has been away too long."""

    def require(self) -> None:
        """Raise UnavailableError if the database or the bus has been away too long."""
        if self.is_away:
            raise UnavailableError(retry_after_seconds=RETRY_AFTER_SECONDS)

    async def check(self) -> None:
        """Ask the database; end every stream if it or the bus is away too long."""
        if await self._is_there():
            self._last_answer = self._clock()
            if self.is_away:
                _log.info("database.back")
            self.is_away = False
        elif self._clock() - self._last_answer >= self._away_seconds:
            if not self.is_away:
                _log.error("database.away", seconds=self._away_seconds)
            self.is_away = True
            await end_spread(self._hub, self._spread_seconds)

    async def _is_there(self) -> bool:
        if not self._bus.is_connected:
            return False
        try:
            with anyio.fail_after(PING_SECONDS):
                await self._ping()
        except (UnavailableError, TimeoutError):
            return False
        return True

    async def check_regularly(self) -> None:
        """Check every few seconds, for ever."""
        while True:
            await anyio.sleep(self._away_seconds / CHECKS)
            await self.check()
