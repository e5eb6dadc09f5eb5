"""How a server behaves; what the services read of the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The settings of one server."""

    heartbeat_interval_ms: int = 30_000
    poll_interval_ms: int = 5_000
    token_lifetime: timedelta = timedelta(hours=1)
    refresh_interval: timedelta = timedelta(minutes=55)
    """After which a session takes a new snapshot; spread by 10 % either way."""
    keepalive_seconds: float = 15.0
    """Between two keepalives of a stream."""
    presence_seconds: float = 5.0
    """Between two writes of when hosts were last seen."""
    stop_seconds: float = 10.0
    """Within which a stopping server ends its streams, one after the other."""
    most_streams: int | None = None
    """Open at the same time; the next one is answered 503. None: as many as come."""
    most_waiting: int = 1024
    """Connections that nobody has accepted yet; with more, load is shed. The kernel keeps
    4096 of them, and 1,024 are about half a second of work."""
    away_seconds: float = 30.0
    """Without the database or the bus, after which streams end and requests are refused."""
    reconcile_seconds: float = 5.0
    """Between two readings of what other servers may have done unheard."""
    confirm_seconds: float = 2.0
    """For the other servers to confirm that their sessions were notified of a rotation."""
    deliver_once: bool = False
    """Deliver each mutation in one answer only, as one public document has it."""
    retention: timedelta | None = None
    """How long decided mutations are kept; None for ever."""
    audit_retention: timedelta | None = None
    """How long entries of the audit are kept; None for ever."""
    host_names: frozenset[str] = frozenset()
    """The names that a Host header may hold besides addresses and `localhost`."""
    providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The tables `[providers.NAME]`."""
