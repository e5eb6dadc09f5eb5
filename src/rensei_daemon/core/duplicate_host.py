"""Recognising that another host uses this host's machine id.

A cloned virtual machine has its original's machine id, so both are one worker to the
platform. Where the platform voids a worker's older token, each host's refresh ends the
other's token: it is refused long before it would expire, and so is the next one. A key
that was replaced, or a platform that restarted, has that effect once.
"""

from collections import deque

YOUNG_SECONDS = 600.0
"""A token refused at this age was not ended by its expiry (an hour)."""

REFUSALS = 3
WITHIN_SECONDS = 1800.0
"""Three such refusals within half an hour are no accident, also at a beat every 300 s."""


class EarlyTokenRefusals:
    """The refusals of tokens that had just been given out; times are monotonic seconds."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=REFUSALS)

    def note(self, *, age_seconds: float, now: float) -> None:
        """Note that a token of this age was refused."""
        if age_seconds <= YOUNG_SECONDS:
            self._at.append(now)

    def is_contested(self, now: float) -> bool:
        """Whether the last refusals came so close that somebody else must cause them."""
        return len(self._at) == REFUSALS and now - self._at[0] <= WITHIN_SECONDS
