"""When the next heartbeat is sent.

The interval is the platform's, with a random part so that hosts spread out. A heartbeat
that is sent early, because there is something to report, does not move the next one: after
a rotation a whole fleet reports within a few seconds, and would otherwise stay together.
"""

from rensei_daemon.core.backoff import Draw

JITTER = 0.1
"""The largest random part of an interval."""
ASKED_SPREAD = 1.2
"""The longest wait after a failure, in times of what the platform asked for."""


class HeartbeatPace:
    """Decides when the next heartbeat is due; `now` is in monotonic seconds."""

    def __init__(self, draw: Draw) -> None:
        self.failures = 0
        """How many heartbeats in a row have failed."""
        self._draw = draw
        self._due = 0.0

    def succeeded(self, now: float, interval: float) -> float:
        """Return when the next heartbeat is due after one that was answered."""
        regular = now + self._jittered(interval)
        was_early = not self.failures and now < self._due
        self._due = min(self._due, regular) if was_early else regular
        self.failures = 0
        return self._due

    def refused(self, now: float, interval: float) -> float:
        """Return when the next heartbeat is due after the platform has refused one."""
        self.failures += 1
        return now + self._jittered(interval)

    def failed(self, now: float, interval: float, asked: float | None = None) -> float:
        """Return when to retry; `asked` is the wait that the platform asked for."""
        self.failures += 1
        return now + retry_seconds(self.failures, interval, self._draw, asked)

    def _jittered(self, interval: float) -> float:
        return interval * self._draw(1 - JITTER, 1 + JITTER)


def retry_seconds(
    failures: int, interval: float, draw: Draw, asked: float | None = None
) -> float:
    """Return the wait after so many failures in a row."""
    if asked is not None:
        return asked * draw(1.0, ASKED_SPREAD)
    return min(interval, 2.0 ** min(failures - 1, 32)) * draw(0.5, 1.5)
