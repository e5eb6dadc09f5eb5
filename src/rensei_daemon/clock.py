"""The time of this host, by a clock that nobody sets.

The wall clock is corrected, by hours or, after a boot in 1970, by decades; the event loop's
clock stops while the machine is suspended. Every time whose age matters is taken from this
clock: the wall time of the start plus the boot time since then. Times are moved to the
current wall clock only when they are shown.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def boot_seconds() -> float:
    """Return the seconds since boot, including suspended time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_time() -> datetime:
    """Return the time of the wall clock."""
    return datetime.now(UTC)


class Clock:
    """A clock that starts at the wall time of its creation."""

    def __init__(
        self,
        *,
        boot: Callable[[], float] = boot_seconds,
        wall: Callable[[], datetime] = wall_time,
    ) -> None:
        self._boot, self._wall = boot, wall
        self._begun, self._begun_at = boot(), wall()

    def now(self) -> datetime:
        """Return a time for computing ages; this clock is never set."""
        return self._begun_at + timedelta(seconds=self._boot() - self._begun)

    def ahead(self) -> timedelta:
        """Return how far the wall clock is ahead of `now`, in whole seconds.

        Whole, and zero below one: shown times must not change with every reading.
        """
        seconds = (self._wall() - self.now()).total_seconds()
        return timedelta(seconds=int(seconds))

    def read(self) -> tuple[datetime, timedelta]:
        """Return (now, ahead), which a report is made of."""
        return self.now(), self.ahead()

    def steady(self, wall: datetime) -> datetime:
        """Return the time of this clock at an earlier time of the wall clock."""
        return wall - self.ahead()


CLOCK = Clock()
"""The clock of this process."""
