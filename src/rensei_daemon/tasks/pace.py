"""How often a session is looked after, and how patiently.

The figures are the product's; a test may want others, and makes its own `Pace`.
"""

from dataclasses import dataclass, replace

from rensei_daemon.core.backoff import Backoff
from rensei_daemon.errors import PlatformError, TransientError

EARLY_SECONDS = 30.0
"""A snapshot is taken this long before the last one must not be used any more."""

SNAPSHOT_SECONDS = 180.0
"""The longest one can take, a registration before it included; for the watchdog."""

EVENT_SECONDS = 1.0
"""How soon after a failed snapshot an event may have the next one taken."""

RETRY = Backoff(base_seconds=1.0, cap_seconds=60.0)
SLOW_RETRY = Backoff(base_seconds=1.0, cap_seconds=300.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a session is looked after when nobody says that it needs to be."""

    poll_seconds: float = 60.0
    """How often a snapshot is taken while the stream is not live."""
    slow_poll_seconds: float = 300.0
    """How often once it has been down for long, or the platform has no stream for us."""
    long_down_seconds: float = 600.0
    steady_seconds: float = 60.0
    """A stream that was up this long has recovered; its backoff starts anew."""


PACE = Pace()


def lane(error: PlatformError, retry: Backoff) -> Backoff:
    """Return the retry policy that goes on from here: a refusal takes the slow lane."""
    cap = (RETRY if isinstance(error, TransientError) else SLOW_RETRY).cap_seconds
    return replace(retry, cap_seconds=cap)
