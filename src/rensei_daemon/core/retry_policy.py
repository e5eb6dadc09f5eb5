"""How patiently a session's snapshots are asked for."""

from dataclasses import replace

from rensei_daemon.core.backoff import Backoff
from rensei_daemon.errors import PlatformError, RefusedError, TransientError

EARLY_SECONDS = 30.0
"""A snapshot is taken this long before the last one must not be used any more."""

SNAPSHOT_SECONDS = 180.0
"""The longest one can take, a registration before it included; for the watchdog."""

RETRY = Backoff(base_seconds=1.0, cap_seconds=60.0)
SLOW_RETRY = Backoff(base_seconds=1.0, cap_seconds=300.0)


def capped_retry(error: PlatformError, retry: Backoff) -> Backoff:
    """Return the retry policy that goes on from here: a refusal takes the slow lane."""
    cap = (RETRY if isinstance(error, TransientError) else SLOW_RETRY).cap_seconds
    return replace(retry, cap_seconds=cap)


def is_not_found(error: PlatformError | None) -> bool:
    """Whether the platform knows no such thing: there is no use in asking often."""
    return isinstance(error, RefusedError) and error.status in (204, 404)


def requested_wait(error: PlatformError | None, rest_seconds: float) -> float:
    """Return how long we were asked to wait; where there is nothing, `rest_seconds`."""
    if is_not_found(error):
        return rest_seconds
    return (error.retry_after or 0.0) if isinstance(error, TransientError) else 0.0
