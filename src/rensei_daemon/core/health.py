"""Health records: what each task reports of its own work.

Every time is an aware UTC datetime by this host's clock; an optional one is None if it has
not happened yet. Nothing here contains a secret.
"""

from datetime import datetime
from enum import StrEnum

from rensei_daemon.errors import Failure
from rensei_daemon.fast_dataclass import dataclass, replace


class StreamState(StrEnum):
    """The state of a session's rotate stream."""

    CONNECTING = "connecting"
    """Not live yet, for the first time."""
    SILENT = "silent"
    """Connected, but no byte has arrived; a proxy may hold them back."""
    LIVE = "live"
    INTERRUPTED = "interrupted"
    """Was live and is not, whether or not it is being reopened."""


MOST_ENDS = 6
"""How many ends of streams are remembered: enough to see that they keep ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHealth:
    """The health of a session's stream; every method returns the next record."""

    state: StreamState = StreamState.CONNECTING
    since: datetime
    """When it went live; while it is not live, when it last was or could have been."""
    was_live: bool = False
    failure: Failure | None = None
    ended_at: tuple[datetime, ...] = ()
    """The latest ends of streams that had been opened."""
    lived_seconds: float | None = None
    """The lifetime of the last stream."""

    def with_state(self, state: StreamState, now: datetime) -> "StreamHealth":
        """Return the record of an open stream in this state."""
        is_live = state is StreamState.LIVE
        is_turn = is_live is not (self.state is StreamState.LIVE)
        return replace(
            self,
            state=state,
            since=now if is_turn else self.since,
            was_live=self.was_live or is_live,
            failure=None,
        )

    def with_end(self, now: datetime, lived_seconds: float) -> "StreamHealth":
        """Return the record after an open stream has ended."""
        lost = StreamState.INTERRUPTED if self.was_live else StreamState.CONNECTING
        return replace(
            self.with_state(lost, now),
            ended_at=(*self.ended_at, now)[-MOST_ENDS:],
            lived_seconds=lived_seconds,
        )

    def with_failure(self, failure: Failure | None) -> "StreamHealth":
        """Return the record of a closed stream; None: it reached its age limit."""
        return replace(self, failure=failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigHealth:
    """The configuration file, as last read."""

    path: str
    digest: str
    """The digest of the text in force; if the file is invalid, the last valid text."""
    valid: bool = True
    error: str | None = None
    """The error with file:line:column, if the file is invalid."""
    hint: str = ""
    """How to fix the error."""
    since: datetime | None = None
    """When the file became valid or invalid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHealth:
    """This host's identity at the platform."""

    platform_url: str
    worker_id: str | None = None
    """None until the first registration."""
    worker_host_id: str | None = None
    """The platform's id of this host; None if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatHealth:
    """Successful and failed heartbeats."""

    interval_seconds: float
    last_ok_at: datetime | None = None
    consecutive_failures: int = 0
    last_error: str | None = None
    """None after a successful heartbeat."""
    last_failure: Failure | None = None
    """The kind of the last error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastMutation:
    """The latest recorded outcome."""

    id: str
    op: str
    outcome: str
    """`applied` or `failed`."""
    message: str = ""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationsHealth:
    """The mutations on record."""

    applied: int = 0
    failed: int = 0
    unacknowledged: int = 0
    """Outcomes that the platform has not confirmed."""
    waiting: int = 0
    """Delivered without an outcome: the file or the disk does not allow one."""
    last: LastMutation | None = None


class Proof(StrEnum):
    """What it proves that a consumer has a generation."""

    CONFIRMED = "confirmed"
    """The consumer succeeded with the values: a hook, a supervised process."""
    RECEIVED = "received"
    """A process took the values and says no more: a reader of the socket."""
    UNKNOWN = "unknown"
    """The values are where a process may read them, as in a file."""
    NOTHING = "nothing"
    """Another consumer speaks for this one: the hook for the file it runs after."""


DEPARTED = "process"
"""The kind of a process that has left the socket with the values that it read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerHealth:
    """A process or file that receives a session's credentials."""

    kind: str
    """`socket`, `hook`, `process` for one that has left the socket, or of a file
    `FileFormat.consumer_kind`, such as `env_file`."""
    name: str
    generation: int | None = None
    """The latest generation it has received."""
    pid: int | None = None
    """The pid of the process at the socket."""
    started: int | None = None
    """When that process started, in clock ticks after the boot; None if not visible."""
    proof: Proof = Proof.UNKNOWN
    has_unread: bool = False
    """Whether the process at the socket has not read all that it was sent."""
    waits_until: datetime | None = None
    """When it gets the newest values, if it waits for that on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHealth:
    """A session's credentials and its stream."""

    id: str
    stream: StreamState = StreamState.CONNECTING
    since: datetime
    """When the stream went live; while it is not live, when it last was or could have been.
    """
    added_at: datetime
    """When the daemon started the session; never changes."""
    generation: int = 0
    version: int | None = None
    """The platform's version of these values; None if it names none."""
    refreshed_at: datetime | None = None
    """When a snapshot was last applied; equal data counts. An event says nothing about the
    values it does not name."""
    refresh_until: datetime | None = None
    """When the data should be refreshed; None until the first snapshot."""
    names: tuple[str, ...] = ()
    """The names of its variables, never their values."""
    dropped_names: tuple[str, ...] = ()
    """The names of variables that may not reach a process."""
    consumers: tuple[ConsumerHealth, ...] = ()
    snapshot_failure: Failure | None = None
    """Why the last snapshot failed; None after a successful one."""
    stream_failure: Failure | None = None
    """Why the stream last failed; None while it is open, or after it reached its maximum
    age."""
    stream_ended_at: tuple[datetime, ...] = ()
    """The latest ends of streams that had been opened, at most six."""
    stream_lived_seconds: float | None = None
    """The lifetime of the last stream."""
    wanted_for: str | None = None
    """Why a snapshot is wanted but missing; None if none is."""
    wanted_since: datetime | None = None
    lost_names: int = 0
    """How many names the last snapshot removed, if more than half of them."""
    lost_names_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectsHealth:
    """How many projects the file has."""

    enabled: int = 0
    disabled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolHealth:
    """The capacity pool this host is bound to."""

    status: str = "ok"
    """`ok`, or a `pool_…` status of the platform without the prefix: `deleted`, `draining`.
    """
    id: str | None = None
    reason: str | None = None
    candidates: tuple[str, ...] = ()
    """Pools that an operator could bind this host to."""
    action: str | None = None
    """What the platform recommends."""
    since: datetime | None = None

    @property
    def is_ok(self) -> bool:
        """Whether the pool has no problem."""
        return self.status == "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHealth:
    """The log level, and lost log lines."""

    level: str = "info"
    """The level in force."""
    configured_level: str = "info"
    """The level of the file; an operator may have set another one."""
    since: datetime | None = None
    """When an operator set another level."""
    dropped: int = 0
    """Lines lost since the start: the output was not read, or the disk was full."""
    dropped_since: datetime | None = None
