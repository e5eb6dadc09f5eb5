"""When values have to be resolved again, and when a host has to ask for them again."""

from dataclasses import dataclass
from datetime import datetime, timedelta

REFRESH = timedelta(minutes=15)
"""Values without a lease are used this long before their provider is asked again."""
SPREAD = 0.1
RENEW_AT = 2 / 3
"""A lease is renewed, or its values replaced, when this part of it is over."""
REPLACE_AT = 5 / 6
"""The first server that finds a lease this far gone replaces its values."""
SHORTEST = timedelta(seconds=1)
LEAST_WATCH_SECONDS = 30
"""A source that is watched is asked by each binding: no secret store is for polling."""
MOST_WATCH_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Times:
    """When something has to be done about a set of values."""

    stale_at: datetime
    """The values are resolved again from then on, when somebody asks for them."""
    expires_at: datetime | None
    """The values are no good from then on. None: they stay good."""
    due_at: datetime | None
    """Renew the lease, or look for changes, without being asked. None: never."""


def times_with_lease(now: datetime, seconds: float, *, renewable: bool) -> Times:
    """Return the times of values whose lease began, or was renewed, now."""
    lease = timedelta(seconds=seconds)
    stale_after = lease if renewable else lease * REPLACE_AT
    return Times(now + stale_after, now + lease, now + lease * RENEW_AT)


def times_without_lease(now: datetime, watch_seconds: int | None) -> Times:
    """Return the times of values that were looked at now and stay good."""
    due_at = None if watch_seconds is None else now + timedelta(seconds=watch_seconds)
    return Times(now + REFRESH, None, due_at)


def renewal_at(expires_at: datetime, seconds: float) -> datetime:
    """Return when a lease of this length is due."""
    return expires_at - timedelta(seconds=seconds) * (1 - RENEW_AT)


def is_nearly_over(now: datetime, expires_at: datetime, seconds: float) -> bool:
    """Whether a lease that another replica should have renewed is to be replaced."""
    return expires_at - now <= timedelta(seconds=seconds) * (1 - REPLACE_AT)


def refresh_until(
    now: datetime, expires_at: datetime | None, interval: timedelta, chance: float
) -> datetime:
    """Return when a host has to take its next snapshot.

    `expires_at` is when the first of its leases ends; `chance` is a number from 0 to 1 that
    spreads hosts by ten per cent to both sides. It is never after the end of a lease.
    """
    wait = interval if expires_at is None else min(interval, (expires_at - now) * RENEW_AT)
    return now + max(wait * (1 + SPREAD * (2 * chance - 1)), SHORTEST)
