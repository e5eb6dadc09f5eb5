"""Every condition: its code, its severity, and how long it lasts before it is shown.

`docs/operations.md` has a row for each code. Which alarms and health records amount to a
condition is decided in `daemon_conditions` and `session_conditions`; which condition
explains which, in `root_causes`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Self

from rensei_daemon.fast_dataclass import dataclass


class Severity(StrEnum):
    """How much a condition matters."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Code(StrEnum):
    """What is wrong, in one word. A code that is also a `Failure` has the same value."""

    severity: Severity
    """Of a condition with this code; a stale heartbeat becomes an error later."""

    def __new__(cls, value: str, severity: Severity) -> Self:
        """Return a code, which is its value, with a severity."""
        code = str.__new__(cls, value)
        code._value_, code.severity = value, severity
        return code

    HEARTBEAT_STALE = "heartbeat.stale", Severity.WARNING
    SESSION_STALE = "session.stale", Severity.ERROR
    SESSION_UNCONFIRMED = "session.unconfirmed", Severity.WARNING
    TOO_LARGE = "session.too_large", Severity.WARNING
    """The platform has more values than a session may hold."""
    STREAM_FLAPPING = "stream.flapping", Severity.WARNING
    STREAM_INTERRUPTED = "stream.interrupted", Severity.WARNING
    UNAUTHORIZED = "unauthorized", Severity.ERROR
    TLS_REFUSED = "tls.refused", Severity.ERROR
    """The platform rejects our client certificate, or asks for one."""
    FORBIDDEN = "forbidden", Severity.WARNING
    """The platform answers 403."""
    CONFIG_INVALID = "config.invalid", Severity.WARNING
    CONFIG_RESTART_NEEDED = "config.restart_needed", Severity.WARNING
    STORAGE = "storage", Severity.ERROR
    DELIVERY_FAILED = "delivery.failed", Severity.WARNING
    CONSUMER_LAGGING = "consumer.lagging", Severity.WARNING
    READERS_MISSING = "readers.missing", Severity.WARNING
    """Workers that were connected before a restart, still run, and have not reconnected."""
    READERS_TURNED_AWAY = "readers.turned_away", Severity.WARNING
    METRICS_NOT_SERVED = "metrics.not_served", Severity.WARNING
    """`[metrics].listen` is taken by another process, or is no address of this host."""
    MUTATION_CONFLICT = "mutation.conflict", Severity.WARNING
    POOL_DELETED = "pool.deleted", Severity.WARNING
    POOL_DRAINING = "pool.draining", Severity.WARNING
    POOL_DISABLED = "pool.disabled", Severity.WARNING
    POOL_PAUSED = "pool.paused", Severity.WARNING
    POOL_OTHER = "pool.other", Severity.WARNING
    """A pool status of the platform's that is newer than this daemon."""
    CLOCK_SKEWED = "clock.skewed", Severity.WARNING
    SESSIONS_NONE = "sessions.none", Severity.INFO
    LOG_LEVEL = "log.level", Severity.INFO
    LOG_DROPPED = "log.dropped", Severity.INFO
    HOST_STATUS = "host.status", Severity.WARNING
    """The platform reports a problem with this host other than its pool."""
    HOST_DUPLICATE = "host.duplicate", Severity.WARNING
    PLATFORM_FLOOD = "platform.flood", Severity.WARNING
    ANSWER_OVERSIZED = "oversized", Severity.WARNING
    RUNTIME_NOT_TMPFS = "runtime.not_tmpfs", Severity.INFO
    PROGRAM_OUTDATED = "program.outdated", Severity.INFO
    """Found by the program that asks, not by the daemon."""
    RUN_BY_ROOT = "run_by_root", Severity.INFO


def shown_after_seconds(code: Code) -> float:
    """Return how long an alarm lasts before it is shown."""
    return 60.0 if code in (Code.CONSUMER_LAGGING, Code.READERS_MISSING) else 0.0


def pool_code(status: str) -> Code:
    """Return the code of a pool status."""
    by_value = {str(code): code for code in Code}
    return by_value.get(f"pool.{status}", Code.POOL_OTHER)


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
        severity=severity or code.severity,
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
