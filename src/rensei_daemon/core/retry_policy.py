"""When to retry a session's snapshot after a failure."""

from rensei_daemon.core.backoff import Backoff
from rensei_daemon.errors import PlatformError, RefusedError, TransientError
from rensei_daemon.fast_dataclass import replace

EARLY_SECONDS = 30.0
"""A snapshot is taken this long before the last one expires."""

SNAPSHOT_SECONDS = 180.0
"""The longest a snapshot can take, including a registration; for the watchdog."""

RETRY = Backoff(base_seconds=1.0, cap_seconds=60.0)
SLOW_RETRY = Backoff(base_seconds=1.0, cap_seconds=300.0)


def capped_retry(error: PlatformError, retry: Backoff) -> Backoff:
    """Return the next retry policy; refusals wait up to the longer limit."""
    cap = (RETRY if isinstance(error, TransientError) else SLOW_RETRY).cap_seconds
    return replace(retry, cap_seconds=cap)


def is_not_found(error: PlatformError | None) -> bool:
    """Whether the platform does not know the session: frequent retries are useless."""
    return isinstance(error, RefusedError) and error.status in (204, 404)


def requested_wait(error: PlatformError | None, rest_seconds: float) -> float:
    """Return the wait the platform asked for; `rest_seconds` if it has nothing."""
    if is_not_found(error):
        return rest_seconds
    return (error.retry_after or 0.0) if isinstance(error, TransientError) else 0.0
