"""Detect that another host uses this host's machine id.

A cloned virtual machine has its original's machine id, so the platform takes both for one
worker. If it revokes a worker's older token, each host's refresh ends the other's token: it
is refused long before it expires, and so is the next one. A replaced key, or a platform
that restarted, has that effect once.
"""

from collections import deque

YOUNG_SECONDS = 600.0
"""A token refused at this age has not expired, which takes an hour."""

REFUSALS = 3
WITHIN_SECONDS = 1800.0
"""Three such refusals within half an hour are not accidental, even at a 300 s interval."""


class EarlyTokenRefusals:
    """Refusals of tokens soon after they were issued; times are monotonic seconds."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=REFUSALS)

    def note(self, *, age_seconds: float, now: float) -> None:
        """Record that a token of this age was refused."""
        if age_seconds <= YOUNG_SECONDS:
            self._at.append(now)

    def is_contested(self, now: float) -> bool:
        """Whether the last refusals are so frequent that another host must cause them."""
        return len(self._at) == REFUSALS and now - self._at[0] <= WITHIN_SECONDS
