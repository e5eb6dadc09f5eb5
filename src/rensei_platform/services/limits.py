"""A limit on wrong keys and passwords: by the address they come from, and by account."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rensei_platform.errors import (
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
)

MOST_FAILURES = 20
"""Within `WINDOW_SECONDS`, of one address."""
MOST_OF_ACCOUNT = 10
"""Within `WINDOW_SECONDS`, for one account. It slows a guesser with many addresses down to
15,000 passwords a day; a longer window would keep the account's owner out for as long."""
WINDOW_SECONDS = 60.0
MOST_ADDRESSES = 10_000
"""Addresses, or accounts, that are remembered; beyond, the oldest is forgotten."""
_NETWORK_BITS = 64
"""Of an IPv6 address; whoever has one has all those with the same beginning."""


class FailureLimiter:
    """Counts failures; each address has a window that begins with its first one."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        most: int = MOST_FAILURES,
        message: str | None = None,
    ) -> None:
        """With `most` failures there are too many; `message` says so."""
        self._clock, self._most, self._message = clock, most, message
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self.servers = 1
        """Of the database: each of them allows its part of the failures, rounded up."""

    def check(self, address: str) -> None:
        """Raise TooManyRequestsError if the address has failed too often."""
        begun, count = self._windows.get(_client(address), (0.0, 0))
        left = begun + WINDOW_SECONDS - self._clock()
        if count >= math.ceil(self._most / self.servers) and left > 0:
            raise TooManyRequestsError(self._message, retry_after_seconds=math.ceil(left))

    def count(self, address: str) -> None:
        """Count a failure."""
        now, client = self._clock(), _client(address)
        begun, count = self._windows.pop(client, (now, 0))
        if now - begun >= WINDOW_SECONDS:
            begun, count = now, 0
        self._windows[client] = (begun, count + 1)
        if len(self._windows) > MOST_ADDRESSES:
            self._windows.popitem(last=False)

    @contextmanager
    def attempt(self, address: str) -> Iterator[None]:
        """Count the block as a failure from its beginning, unless it ends as none.

        It is one if it raises UnauthorizedError or NotFoundError. Those that run at the
        same time are all counted before the first of them has failed. Raise
        TooManyRequestsError if the address has failed too often.
        """
        self.check(address)
        self.count(address)
        try:
            yield
        except (UnauthorizedError, NotFoundError):
            raise
        except BaseException:
            self._forgive(address)
            raise
        self._forgive(address)

    def _forgive(self, address: str) -> None:
        client = _client(address)
        if client in self._windows:
            begun, count = self._windows[client]
            self._windows[client] = (begun, max(count - 1, 0))


def of_accounts() -> FailureLimiter:
    """Return a limiter of wrong passwords; its addresses are those of the accounts."""
    message = "Too many wrong passwords for this account; try again within a minute."
    return FailureLimiter(most=MOST_OF_ACCOUNT, message=message)


def _client(address: str) -> str:
    """Return the address, or the network that one client has, as failures are counted."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:  # of a socket in the file system, or of a test
        return address
    if ip.version == 4:
        return address
    return str(ip.ipv4_mapped or f"{int(ip) >> _NETWORK_BITS:x}")
