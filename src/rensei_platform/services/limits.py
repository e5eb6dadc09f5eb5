"""A limit on wrong keys and passwords, by the address they come from."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from rensei_platform.errors import TooManyRequestsError

MOST_FAILURES = 20
"""Within `WINDOW_SECONDS`, of one address."""
WINDOW_SECONDS = 60.0
MOST_ADDRESSES = 10_000
"""Addresses that are remembered; beyond, the oldest is forgotten."""


class FailureLimiter:
    """Counts failures; each address has a window that begins with its first one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise TooManyRequestsError if the address has failed too often."""
        begun, count = self._windows.get(address, (0.0, 0))
        left = begun + WINDOW_SECONDS - self._clock()
        if count >= MOST_FAILURES and left > 0:
            raise TooManyRequestsError(retry_after_seconds=math.ceil(left))

    def count(self, address: str) -> None:
        """Count a failure."""
        now = self._clock()
        begun, count = self._windows.pop(address, (now, 0))
        if now - begun >= WINDOW_SECONDS:
            begun, count = now, 0
        self._windows[address] = (begun, count + 1)
        if len(self._windows) > MOST_ADDRESSES:
            self._windows.popitem(last=False)
