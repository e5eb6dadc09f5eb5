"""A clock for what cannot be undone: it never runs ahead of the time that has passed."""

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
