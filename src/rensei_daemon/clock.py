"""The time of this host, by a clock that nobody sets.

The wall clock is corrected, by hours or, after a boot in 1970, by decades; the loop's own
clock stands still while the machine is suspended. Whatever may have an age is stamped by
this one: the wall clock as it was at the start, and the boot time that has passed since.
Only what is shown is moved to the wall clock of that moment.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def boot_seconds() -> float:
    """Return the seconds since boot, those of a suspended machine included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_time() -> datetime:
    """Return what the wall clock says now."""
    return datetime.now(UTC)


class Clock:
    """One clock, begun at the wall time of its making."""

    def __init__(
        self,
        *,
        boot: Callable[[], float] = boot_seconds,
        wall: Callable[[], datetime] = wall_time,
    ) -> None:
        self._boot, self._wall = boot, wall
        self._begun, self._begun_at = boot(), wall()

    def now(self) -> datetime:
        """Return a time to count ages from; it is never set."""
        return self._begun_at + timedelta(seconds=self._boot() - self._begun)

    def ahead(self) -> timedelta:
        """Return how far the wall clock has been set ahead of `now`, in whole seconds.

        Whole, and none below one: what is shown must not move with every reading.
        """
        seconds = (self._wall() - self.now()).total_seconds()
        return timedelta(seconds=int(seconds))

    def read(self) -> tuple[datetime, timedelta]:
        """Return both: what a report is made of."""
        return self.now(), self.ahead()

    def steady(self, wall: datetime) -> datetime:
        """Return the time of this clock at a moment that the wall clock once told."""
        return wall - self.ahead()


CLOCK = Clock()
"""This process's."""
