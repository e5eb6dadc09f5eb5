"""Clocks that are set: one that never runs ahead, and whether one was set back."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta


def steady(
    now: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic
) -> Callable[[], datetime]:
    """Return a clock that follows `now` back, and forward only as time goes by.

    One that was set ahead by mistake, for an hour or a day, would otherwise remove that
    much too early. One that is right after it was behind is believed after a restart.
    """
    begun, started = now(), monotonic()

    def read() -> datetime:
        return min(now(), begun + timedelta(seconds=monotonic() - started))

    return read


LEAST_STEP_SECONDS = 60.0
"""Of a clock that was set, rather than slowed down."""


class StepsBack:
    """Tells whether a clock was set back."""

    def __init__(
        self, now: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._now, self._monotonic = now, monotonic
        self._ahead: float | None = None

    def seen(self) -> bool:
        """Whether it was since the last call. Before the first one it may have been."""
        ahead = self._now().timestamp() - self._monotonic()
        before, self._ahead = self._ahead, ahead
        return before is None or ahead < before - LEAST_STEP_SECONDS
