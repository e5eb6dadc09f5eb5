"""Every condition: its code, its severity, and how long it lasts before it is shown.

`docs/operations.md` has a row for each code. Which alarms and health records amount to a
condition is decided in `daemon_conditions` and `session_conditions`; which condition
explains which, in `root_causes`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never


class Severity(StrEnum):
    """How much a condition matters."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Code(StrEnum):
    """What is wrong, in one word. A code that is also a `Failure` has the same value."""

    HEARTBEAT_STALE = "heartbeat.stale"
    SESSION_STALE = "session.stale"
    SESSION_UNCONFIRMED = "session.unconfirmed"
    TOO_LARGE = "session.too_large"
    """The platform has more values than a session may hold."""
    STREAM_FLAPPING = "stream.flapping"
    STREAM_INTERRUPTED = "stream.interrupted"
    UNAUTHORIZED = "unauthorized"
    TLS_REFUSED = "tls.refused"
    """The platform rejects our client certificate, or asks for one."""
    FORBIDDEN = "forbidden"
    """The platform answers 403."""
    CONFIG_INVALID = "config.invalid"
    CONFIG_RESTART_NEEDED = "config.restart_needed"
    STORAGE = "storage"
    DELIVERY_FAILED = "delivery.failed"
    CONSUMER_LAGGING = "consumer.lagging"
    READERS_MISSING = "readers.missing"
    """Workers that were connected before a restart, still run, and have not reconnected."""
    READERS_TURNED_AWAY = "readers.turned_away"
    MUTATION_CONFLICT = "mutation.conflict"
    POOL_DELETED = "pool.deleted"
    POOL_DRAINING = "pool.draining"
    POOL_DISABLED = "pool.disabled"
    POOL_PAUSED = "pool.paused"
    POOL_OTHER = "pool.other"
    """A pool status of the platform's that is newer than this daemon."""
    CLOCK_SKEWED = "clock.skewed"
    SESSIONS_NONE = "sessions.none"
    LOG_LEVEL = "log.level"
    LOG_DROPPED = "log.dropped"
    HOST_STATUS = "host.status"
    """The platform reports a problem with this host other than its pool."""
    HOST_DUPLICATE = "host.duplicate"
    PLATFORM_FLOOD = "platform.flood"
    ANSWER_OVERSIZED = "oversized"
    RUNTIME_NOT_TMPFS = "runtime.not_tmpfs"
    PROGRAM_OUTDATED = "program.outdated"
    """Found by the program that asks, not by the daemon."""
    RUN_BY_ROOT = "run_by_root"


def severity_of(code: Code) -> Severity:
    """Return the severity; a stale heartbeat becomes an error later."""
    match code:
        case Code.SESSION_STALE | Code.UNAUTHORIZED | Code.TLS_REFUSED | Code.STORAGE:
            return Severity.ERROR
        case (
            Code.HEARTBEAT_STALE
            | Code.SESSION_UNCONFIRMED
            | Code.TOO_LARGE
            | Code.STREAM_FLAPPING
            | Code.STREAM_INTERRUPTED
            | Code.FORBIDDEN
            | Code.CONFIG_INVALID
            | Code.CONFIG_RESTART_NEEDED
            | Code.DELIVERY_FAILED
            | Code.CONSUMER_LAGGING
            | Code.READERS_MISSING
            | Code.READERS_TURNED_AWAY
            | Code.MUTATION_CONFLICT
            | Code.POOL_DELETED
            | Code.POOL_DRAINING
            | Code.POOL_DISABLED
            | Code.POOL_PAUSED
            | Code.POOL_OTHER
            | Code.CLOCK_SKEWED
            | Code.HOST_STATUS
            | Code.HOST_DUPLICATE
            | Code.PLATFORM_FLOOD
            | Code.ANSWER_OVERSIZED
        ):
            return Severity.WARNING
        case (
            Code.SESSIONS_NONE
            | Code.LOG_LEVEL
            | Code.LOG_DROPPED
            | Code.RUNTIME_NOT_TMPFS
            | Code.PROGRAM_OUTDATED
            | Code.RUN_BY_ROOT
        ):
            return Severity.INFO
        case _:
            assert_never(code)


def shown_after_seconds(code: Code) -> float:
    """Return how long an alarm lasts before it is shown."""
    return 60.0 if code in (Code.CONSUMER_LAGGING, Code.READERS_MISSING) else 0.0


def pool_code(status: str) -> Code:
    """Return the code of a pool status."""
    try:
        return Code(f"pool.{status}")
    except ValueError:
        return Code.POOL_OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The condition that explains another one."""

    code: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something an operator should know, why, and what to do."""

    code: Code
    severity: Severity
    message: str
    """One line, without an age: `since` says it."""
    hint: str
    since: datetime
    subject: str = ""
    """Which session, consumer or mutation, when there can be several."""
    because_of: Cause | None = None
    """The condition that explains this one; it is in the status too."""


def condition(
    code: Code,
    *,
    message: str,
    hint: str,
    since: datetime,
    subject: str = "",
    severity: Severity | None = None,
) -> Condition:
    """Return a condition with the severity of its code, or with the one given."""
    return Condition(
        code=code,
        severity=severity or severity_of(code),
        message=message,
        hint=hint,
        since=since,
        subject=subject,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A condition that a task has raised, and will clear."""

    code: Code
    subject: str
    message: str
    hint: str
    since: datetime
