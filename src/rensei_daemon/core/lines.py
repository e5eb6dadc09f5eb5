"""The lines of the board: what each task reports of its own work.

Every time is an aware UTC datetime by this host's clock; an optional one is None when
the thing has not happened yet. Nothing here holds a secret.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rensei_daemon.errors import Failure


class StreamState(StrEnum):
    """A session's rotate stream."""

    CONNECTING = "connecting"
    """Not live yet for the first time."""
    LIVE = "live"
    INTERRUPTED = "interrupted"
    """Was live and is not, however often it is being tried meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigLine:
    """The operator's file, as it was last read."""

    path: str
    digest: str
    """Of the text in force, which is the last good one when the file is not valid."""
    valid: bool = True
    error: str | None = None
    """With file:line:column, when the file is not valid."""
    hint: str = ""
    """What mends it."""
    since: datetime | None = None
    """When the file was found to be as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLine:
    """Who this host is to the platform."""

    platform_url: str
    worker_id: str | None = None
    """None until the first registration."""
    worker_host_id: str | None = None
    """The platform's row of this host; None: it has not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatLine:
    """The beats, good and bad."""

    interval_seconds: float
    last_ok_at: datetime | None = None
    consecutive_failures: int = 0
    last_error: str | None = None
    """None after a good beat."""
    last_failure: Failure | None = None
    """What sort of error that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastMutation:
    """The newest recorded outcome."""

    id: str
    op: str
    outcome: str
    """`applied` or `failed`."""
    message: str = ""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationsLine:
    """The mutations this host has on record."""

    applied: int = 0
    failed: int = 0
    unacknowledged: int = 0
    """Outcomes the platform has not confirmed yet."""
    waiting: int = 0
    """Delivered, and without an outcome: the file or the disk does not allow one."""
    last: LastMutation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerLine:
    """One process or file that gets a session's credentials."""

    kind: str
    """`socket`, `env_file`, `hook` or `child`."""
    name: str
    generation: int | None = None
    """The newest one it has been given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """One session's credentials and the stream that keeps them fresh."""

    id: str
    stream: StreamState = StreamState.CONNECTING
    since: datetime
    """When the stream became what it is."""
    added_at: datetime
    """When the daemon took the session on; never moves."""
    generation: int = 0
    refreshed_at: datetime | None = None
    """When data was last applied, from a snapshot or an event; equal data counts."""
    refresh_until: datetime | None = None
    """When the data should have been refreshed; None until the first snapshot."""
    names: tuple[str, ...] = ()
    """Of the variables it holds, never their values."""
    dropped_names: tuple[str, ...] = ()
    """Of variables that may not reach a process."""
    consumers: tuple[ConsumerLine, ...] = ()
    snapshot_failure: Failure | None = None
    """What the last snapshot failed with; None after a good one."""
    stream_failure: Failure | None = None
    """What the stream last failed with; None while it is live, or grew too old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectsLine:
    """How many projects the file lists."""

    enabled: int = 0
    disabled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLine:
    """The capacity pool this host is bound to."""

    status: str = "ok"
    """`ok`, or a platform's `pool_…` word without that prefix: `deleted`, `draining`."""
    id: str | None = None
    reason: str | None = None
    candidates: tuple[str, ...] = ()
    """Pools an operator could bind this host to."""
    action: str | None = None
    """What the platform recommends."""
    since: datetime | None = None

    @property
    def is_ok(self) -> bool:
        """Whether there is nothing to say about it."""
        return self.status == "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """How much the daemon says, and what of it was lost."""

    level: str = "info"
    """In force."""
    configured_level: str = "info"
    """The file's; another one is in force when an operator asked for it."""
    since: datetime | None = None
    """When another one was asked for."""
    dropped: int = 0
    """Lines lost since the start: nobody read the output, or the disk was full."""
    dropped_since: datetime | None = None
