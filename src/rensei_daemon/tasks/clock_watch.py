"""Watches the wall clock, and notices when the machine was suspended."""

import time
from collections.abc import Awaitable, Callable

import anyio
import structlog

from rensei_daemon.clock import CLOCK, Clock, boot_seconds
from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.duration import format_duration
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.tasks.heartbeat import HeartbeatSender

LOOK_SECONDS = 5.0
SKEW_SECONDS = 30.0
SUSPENDED_SECONDS = 30.0
SPREAD_SECONDS = 5.0
"""Machines that were suspended together must not all send requests at once."""
HINT = "timedatectl set-ntp true; timedatectl timesync-status"

_log = structlog.get_logger()


@dataclass
class ClockWatch:
    """Reports a wrong wall clock, and wakes the loops after a suspension."""

    board: Board
    heartbeat: HeartbeatSender
    on_resume: Callable[[], None]
    """Called after a suspension, to retry everything that waits."""
    draw: Draw
    clock: Clock = CLOCK
    boot: Callable[[], float] = boot_seconds
    awake: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    _is_skewed: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Check every few seconds; never return."""
        asleep = self._asleep_seconds
        while True:
            await self.sleep(LOOK_SECONDS)
            seconds, asleep = self._asleep_seconds - asleep, self._asleep_seconds
            if seconds >= SUSPENDED_SECONDS:
                _log.info("host.resumed", seconds=round(seconds))
                await self.sleep(self.draw(0.0, SPREAD_SECONDS))
                self.on_resume()
            self.check()

    @property
    def _asleep_seconds(self) -> float:
        return self.boot() - self.awake()

    def check(self) -> None:
        """Compare the wall clock with the platform's, known from the last good heartbeat.

        No new response is needed to notice that the wall clock was set.
        """
        if self.heartbeat.platform_ahead is None:
            return
        seconds = (self.clock.ahead() - self.heartbeat.platform_ahead).total_seconds()
        if abs(seconds) <= SKEW_SECONDS:
            if self._is_skewed:
                _log.info("clock.right")
            self._is_skewed = False
            self.board.clear(Code.CLOCK_SKEWED)
            return
        side = "ahead of" if seconds > 0 else "behind"
        message = (
            f"this host's clock is {format_duration(abs(seconds))} {side} the platform's"
        )
        if not self._is_skewed:
            _log.warning("clock.skewed", seconds=round(seconds), hint=HINT)
        self._is_skewed = True
        self.board.raise_alarm(Code.CLOCK_SKEWED, message, hint=HINT, now=self.clock.now())
