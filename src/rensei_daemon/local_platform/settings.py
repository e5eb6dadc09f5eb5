"""What can be chosen about a platform; it knows nothing of command lines or files."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformSettings:
    """One platform's choices; the defaults are what the public one is known to use."""

    heartbeat_interval_ms: int = 30_000
    """Told to workers when they register."""
    poll_interval_ms: int = 5_000
    """Told to workers when they register."""
    token_ttl_seconds: float = 3600.0
    """How long a runtime token is good for."""
    refresh_seconds: float = 3600.0
    """A snapshot's `refreshUntil` is this far away."""
    keepalive_seconds: float = 15.0
    """How often an idle rotate stream gets a comment; the first one comes at once."""
    deliver_once: bool = False
    """Hand each mutation out in one answer only, instead of until it is acked."""
    state_file: Path | None = None
    """The SQLite file; None keeps everything in memory."""
