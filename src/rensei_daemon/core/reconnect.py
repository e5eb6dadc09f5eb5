"""When to reopen a session's stream after it ended.

The first wait is short, and each further one may be twice as long. After a stream that
delivered something and outlived the wait before it, the waits start again, so that a
gateway that ends every stream after 20 s costs half a second each time, not a minute.
"""

from rensei_daemon.core.backoff import Backoff, Draw
from rensei_daemon.fast_dataclass import dataclass, field, replace

CAP_SECONDS = 60.0
REFUSED_CAP_SECONDS = 300.0
"""While the platform refuses."""
SHORT_SECONDS = 1.0
"""A stream that lived shorter is ignored: otherwise it would be reopened without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnd:
    """How a stream, or an attempt to open one, ended."""

    lived_seconds: float = 0.0
    """Since it was connected; zero if it never was."""
    has_delivered: bool = False
    """Whether it delivered a byte."""
    is_refused: bool = False
    """Whether the platform answered with a refusal."""
    asked_seconds: float = 0.0
    """The minimum wait that the platform asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectPolicy:
    """An immutable policy: each end returns the wait and the next policy."""

    backoff: Backoff = field(default_factory=Backoff)
    last_wait_seconds: float = 0.0

    def next(self, end: StreamEnd, draw: Draw) -> tuple[float, "ReconnectPolicy"]:
        """Return (seconds to wait, the policy after that wait)."""
        was_good = end.has_delivered and end.lived_seconds > self.last_wait_seconds
        cap = REFUSED_CAP_SECONDS if end.is_refused else CAP_SECONDS
        backoff = replace(
            self.backoff,
            attempts=0 if was_good else self.backoff.attempts,
            cap_seconds=cap,
        )
        wait, backoff = backoff.next(draw, at_least=end.asked_seconds)
        if not end.asked_seconds and end.lived_seconds >= SHORT_SECONDS:
            wait = min(wait, end.lived_seconds)
        return wait, ReconnectPolicy(backoff=backoff, last_wait_seconds=wait)
