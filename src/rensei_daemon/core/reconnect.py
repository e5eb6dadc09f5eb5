"""When a session's stream is opened again after it ended.

The first wait is short, and each further one may be twice as long. A stream that was good
(it delivered something and outlived the wait before it) begins anew, so that a gateway
that ends every stream after 20 s costs half a second each time, not a minute.
"""

from dataclasses import dataclass, field, replace

from rensei_daemon.core.backoff import Backoff, Draw

CAP_SECONDS = 60.0
REFUSED_CAP_SECONDS = 300.0
"""While the platform answers that it does not want us."""
SHORT_SECONDS = 1.0
"""A stream that lived for less bounds no wait: it would be opened again without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnd:
    """How a stream, or a try at one, came to its end."""

    lived_seconds: float = 0.0
    """Since it was connected; zero when it never was."""
    has_delivered: bool = False
    """Whether a byte of it came."""
    is_refused: bool = False
    """Whether the platform answered, and said no."""
    asked_seconds: float = 0.0
    """The least wait that the platform asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectPolicy:
    """A policy that never changes: each end returns the wait and the next policy."""

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
