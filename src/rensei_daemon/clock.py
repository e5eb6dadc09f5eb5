"""A clock that is never set: the wall time of the start plus the boot time since.

Everything that has an age uses it. The wall clock may be corrected, by decades after a
boot in 1970, and the event loop's clock stops while the machine is suspended. Times are
converted to the wall clock only for display.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def boot_seconds() -> float:
    """Return the seconds since boot, including the time of a suspended machine."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_time() -> datetime:
    """Return the wall time."""
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
        """Return the time of this clock."""
        return self._begun_at + timedelta(seconds=self._boot() - self._begun)

    def ahead(self) -> timedelta:
        """Return how far the wall clock is ahead of `now`, in whole seconds.

        Rounded, so that displayed times do not change with every reading.
        """
        seconds = (self._wall() - self.now()).total_seconds()
        return timedelta(seconds=int(seconds))

    def read(self) -> tuple[datetime, timedelta]:
        """Return `now` and `ahead`, as a report takes them."""
        return self.now(), self.ahead()

    def steady(self, wall: datetime) -> datetime:
        """Convert a wall time to the time of this clock."""
        return wall - self.ahead()


CLOCK = Clock()
"""The clock of this process."""
