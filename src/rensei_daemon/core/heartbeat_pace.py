"""When the next heartbeat is sent.

The interval is the platform's, with a random part so that hosts spread out. A heartbeat
that is sent early, because there is something to report, does not move the next one: after
a rotation a whole fleet reports within a few seconds, and would otherwise stay together.

While the platform is away, the waits double up to the interval, and none is planned that is
longer than a third of the time that it has been away: most hosts are back within half of
that time, however the doubling falls. Another request that is answered ends a wait, unless
the platform asked for it.
"""

from rensei_daemon.core.backoff import Draw

JITTER = 0.1
"""The largest random part of an interval."""
ASKED_SPREAD = 1.2
"""The longest wait after a failure, in times of what the platform asked for."""
SHARE_OF_OUTAGE = 1 / 3
"""The longest wait after a failure, before jitter, in times of the outage so far."""
HURRY_SECONDS = 1.0
"""The longest wait after another request was answered."""


class HeartbeatPace:
    """Decides when the next heartbeat is due; `now` is in monotonic seconds."""

    def __init__(self, draw: Draw) -> None:
        self.failures = 0
        """How many heartbeats in a row have failed."""
        self._draw = draw
        self._due = 0.0
        self._failing_since = 0.0
        self._retry_at = self._hurries_from = 0.0
        self._may_hurry = False

    def succeeded(self, now: float, interval: float) -> float:
        """Return when the next heartbeat is due after one that was answered."""
        regular = now + self._jittered(interval)
        was_early = not self.failures and now < self._due
        self._due = min(self._due, regular) if was_early else regular
        self.failures = 0
        self._may_hurry = False
        return self._due

    def refused(self, now: float, interval: float) -> float:
        """Return when the next heartbeat is due after the platform has refused one."""
        self._note_failure(now)
        self._may_hurry = False
        return now + self._jittered(interval)

    def failed(self, now: float, interval: float, asked: float | None = None) -> float:
        """Return when to retry; `asked` is the wait that the platform asked for."""
        self._note_failure(now)
        lasting = now - self._failing_since
        wait = retry_seconds(self.failures, interval, self._draw, asked, lasting=lasting)
        self._retry_at = now + wait
        self._may_hurry = asked is None and now >= self._hurries_from
        return self._retry_at

    def hurry(self) -> float | None:
        """Return within how many seconds to retry: another request was answered.

        None if the next heartbeat stays due when it was. If that retry fails too, no other
        is hurried before the time of the wait that it ended: where all but heartbeats are
        answered, there are at most twice as many.
        """
        if not self._may_hurry:
            return None
        self._may_hurry = False
        self._hurries_from = self._retry_at
        return self._draw(0.0, HURRY_SECONDS)

    def _note_failure(self, now: float) -> None:
        if not self.failures:
            self._failing_since = now
        self.failures += 1

    def _jittered(self, interval: float) -> float:
        return interval * self._draw(1 - JITTER, 1 + JITTER)


def retry_seconds(
    failures: int,
    interval: float,
    draw: Draw,
    asked: float | None = None,
    *,
    lasting: float,
) -> float:
    """Return the wait after so many failures in a row, for `lasting` seconds so far."""
    if asked is not None:
        return asked * draw(1.0, ASKED_SPREAD)
    longest = max(1.0, lasting * SHARE_OF_OUTAGE)
    return min(interval, longest, 2.0 ** min(failures - 1, 32)) * draw(0.5, 1.5)
