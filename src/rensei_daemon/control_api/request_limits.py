"""How much a client may ask of the daemon."""

from rensei_daemon.fast_dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The limits of one client, and of all clients together."""

    request_bytes: int = 64 * 1024
    header_bytes: int = 16 * 1024
    seconds: float = 5.0
    """To receive a whole request, and again to send the whole answer."""
    clients: int = 32
    """Served at once; one more takes the slot of a slow client, or is refused."""
    grace_seconds: float = 0.02
    """How long an incomplete request is waited for while other clients need a slot."""


DEFAULT_LIMITS = RequestLimits()
