"""Which of two values of a session is newer, by the platform's timestamps.

A snapshot is stamped with the `Date` of its answer, an UPDATE with its `rotatedAt`. Proxies
swap events, delay one or send one twice; the stamps show it. An UPDATE that is not newer
changes nothing, and a snapshot is taken instead.

- A snapshot sets the newest stamp, also backwards, because the platform's clock may be
  set.
- An UPDATE more than `TOLERANCE_SECONDS` older than the newest stamp is late. `Date` has
  whole seconds, so a smaller difference means nothing.
- An UPDATE not newer than the newest applied UPDATE is late or repeated.
- A stamp that is missing, or too far ahead of the platform's clock, is ignored: such an
  UPDATE applies in the order of arrival.

Stamps are compared by differences only, so that none in the year 9999 overflows.
"""

from datetime import datetime

from rensei_daemon.fast_dataclass import dataclass, replace

TOLERANCE_SECONDS = 1.0
MOST_AHEAD_SECONDS = 60.0
"""A stamp further ahead of the platform's clock is ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationOrder:
    """The newest stamps of a session; every method returns the next value."""

    newest: datetime | None = None
    """None before the first snapshot."""
    newest_update: datetime | None = None
    """Of the applied UPDATEs."""
    answered_at: datetime | None = None
    """The platform's clock when the last snapshot arrived."""
    came_at: float = 0.0
    """Our own clock at that moment, in monotonic seconds."""

    def after_snapshot(self, answered_at: datetime, now: float) -> "RotationOrder":
        """Return the order after a snapshot that was answered at that time."""
        order = replace(self, newest=answered_at, answered_at=answered_at, came_at=now)
        # The platform's clock was set back: its next stamps would all look late.
        is_credible = order._usable(self.newest_update, now) is not None
        return order if is_credible else replace(order, newest_update=None)

    def admits(self, stamp: datetime | None, now: float) -> bool:
        """Whether an UPDATE with this stamp may be applied now."""
        usable = self._usable(stamp, now)
        if usable is None:
            return True
        is_first = self.newest_update is None or usable > self.newest_update
        return is_first and not self._is_late(usable)

    def outlives_snapshot(self, stamp: datetime | None, now: float) -> bool:
        """Whether an UPDATE that arrived during the last snapshot is newer than it."""
        usable = self._usable(stamp, now)
        return usable is None or not self._is_late(usable)

    def after_update(self, stamp: datetime | None, now: float) -> "RotationOrder":
        """Return the order after an UPDATE with this stamp was applied."""
        usable = self._usable(stamp, now)
        if usable is None:
            return self
        newest = usable if self.newest is None else max(self.newest, usable)
        return RotationOrder(
            newest=newest,
            newest_update=usable,
            answered_at=self.answered_at,
            came_at=self.came_at,
        )

    def _is_late(self, stamp: datetime) -> bool:
        if self.newest is None:
            return False
        return (self.newest - stamp).total_seconds() > TOLERANCE_SECONDS

    def _usable(self, stamp: datetime | None, now: float) -> datetime | None:
        if stamp is None or self.answered_at is None:
            return stamp
        ahead = (stamp - self.answered_at).total_seconds() - (now - self.came_at)
        return None if ahead > MOST_AHEAD_SECONDS else stamp
