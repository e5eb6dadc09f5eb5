"""The lines of the board: what each task reports of its own work.

Every time is an aware UTC datetime by this host's clock; an optional one is None when
the thing has not happened yet. Nothing here holds a secret.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from rensei_daemon.errors import Failure


class StreamState(StrEnum):
    """A session's rotate stream."""

    CONNECTING = "connecting"
    """Not live yet for the first time."""
    SILENT = "silent"
    """Connected, and no byte has come; a proxy may hold them back."""
    LIVE = "live"
    INTERRUPTED = "interrupted"
    """Was live and is not, however often it is being tried meanwhile."""


MOST_ENDS = 6
"""How many ends of streams are remembered: enough to tell that they keep ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHealth:
    """How a session's stream is; every step returns the next line."""

    state: StreamState = StreamState.CONNECTING
    since: datetime
    """When it went live, or when it last was or could have been."""
    was_live: bool = False
    failure: Failure | None = None
    ended_at: tuple[datetime, ...] = ()
    """The newest ends of streams that had been opened."""
    lived_seconds: float | None = None
    """How long the last one lived."""

    def became(self, state: StreamState, now: datetime) -> "StreamHealth":
        """Return the line of a stream that is open, and became this."""
        is_live = state is StreamState.LIVE
        is_turn = is_live is not (self.state is StreamState.LIVE)
        return replace(
            self,
            state=state,
            since=now if is_turn else self.since,
            was_live=self.was_live or is_live,
            failure=None,
        )

    def ended(self, now: datetime, lived_seconds: float) -> "StreamHealth":
        """Return the line once a stream that was open has ended."""
        lost = StreamState.INTERRUPTED if self.was_live else StreamState.CONNECTING
        return replace(
            self.became(lost, now),
            ended_at=(*self.ended_at, now)[-MOST_ENDS:],
            lived_seconds=lived_seconds,
        )

    def failed(self, failure: Failure | None) -> "StreamHealth":
        """Return the line of a stream that is not open, and why; None: it grew too old."""
        return replace(self, failure=failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigHealth:
    """The operator's file, as it was last read."""

    path: str
    digest: str
    """Of the text in force, which is the last good one when the file is not valid."""
    valid: bool = True
    error: str | None = None
    """With file:line:column, when the file is not valid."""
    hint: str = ""
    """What fixes it."""
    since: datetime | None = None
    """When the file was found to be as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHealth:
    """Who this host is to the platform."""

    platform_url: str
    worker_id: str | None = None
    """None until the first registration."""
    worker_host_id: str | None = None
    """The platform's row of this host; None: it has not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatHealth:
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
class MutationsHealth:
    """The mutations this host has on record."""

    applied: int = 0
    failed: int = 0
    unacknowledged: int = 0
    """Outcomes the platform has not confirmed yet."""
    waiting: int = 0
    """Delivered, and without an outcome: the file or the disk does not allow one."""
    last: LastMutation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerHealth:
    """One process or file that gets a session's credentials."""

    kind: str
    """`socket`, `env_file`, `hook` or `child`."""
    name: str
    generation: int | None = None
    """The newest one it has been given."""
    pid: int | None = None
    """Of the process behind the socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHealth:
    """One session's credentials and the stream that keeps them fresh."""

    id: str
    stream: StreamState = StreamState.CONNECTING
    since: datetime
    """When the stream went live; while it is not, when it last was or could have been."""
    added_at: datetime
    """When the daemon took the session on; never moves."""
    generation: int = 0
    refreshed_at: datetime | None = None
    """When a snapshot was last applied; equal data counts. An event says nothing about
    the values it does not name."""
    refresh_until: datetime | None = None
    """When the data should have been refreshed; None until the first snapshot."""
    names: tuple[str, ...] = ()
    """Of the variables it holds, never their values."""
    dropped_names: tuple[str, ...] = ()
    """Of variables that may not reach a process."""
    consumers: tuple[ConsumerHealth, ...] = ()
    snapshot_failure: Failure | None = None
    """What the last snapshot failed with; None after a good one."""
    stream_failure: Failure | None = None
    """What the stream last failed with; None while it is open, or grew too old."""
    stream_ended_at: tuple[datetime, ...] = ()
    """The newest ends of streams that had been opened, six at most."""
    stream_lived_seconds: float | None = None
    """How long the last one lived."""
    wanted_for: str | None = None
    """Why a snapshot is wanted that has not been had; None when none is."""
    wanted_since: datetime | None = None
    lost_names: int = 0
    """How many names the last snapshot took away, when it took more than half."""
    lost_names_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectsHealth:
    """How many projects the file lists."""

    enabled: int = 0
    disabled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolHealth:
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
class LogHealth:
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
