"""Which lines and alarms amount to a condition, how grave, and after how long.

Every limit of the health model is in this file, but for the sessions'
(`session_conditions`). It knows no clock: `now` arrives, and is of a clock that nobody
sets. A function here yields the conditions of one line; which of them follow from others
is the business of `causes`, and what they add up to the board's.

Alarms are for what no line can show: a task raises one by its code and clears it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rensei_daemon.core.health import (
    ConfigHealth,
    HeartbeatHealth,
    LogHealth,
    PoolHealth,
)
from rensei_daemon.core.status import Condition, Severity

STARTING_AT_MOST_SECONDS = 60.0
"""By then the first beat and every first snapshot should have come."""

BEAT_WARNING_INTERVALS = 3
BEAT_WARNING_AT_LEAST_SECONDS = 3.0
BEAT_ERROR_SECONDS = 300.0


class Code(StrEnum):
    """Alarms: what a task may raise. One that is a `Failure` too is called the same."""

    STORAGE = "storage"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    """The platform answers 403: it knows us, and says no."""
    TLS_REFUSED = "tls.refused"
    """The platform does not accept our client certificate, or wants one."""
    TOO_LARGE = "session.too_large"
    """More values than a session may hold."""
    CONFIG_RESTART_NEEDED = "config.restart_needed"
    DELIVERY_FAILED = "delivery.failed"
    CONSUMER_LAGGING = "consumer.lagging"
    READERS_MISSING = "readers.missing"
    """Workers that were connected before a restart, live, and have not come back."""
    READERS_TURNED_AWAY = "readers.turned_away"
    MUTATION_CONFLICT = "mutation.conflict"
    HOST_STATUS = "host.status"
    """The platform objects to this host, in a word that is neither ok nor of a pool."""
    HOST_DUPLICATE = "host.duplicate"
    ANSWER_OVERSIZED = "oversized"
    PLATFORM_FLOOD = "platform.flood"
    CLOCK_SKEWED = "clock.skewed"
    RUNTIME_NOT_TMPFS = "runtime.not_tmpfs"
    RUN_BY_ROOT = "run_by_root"


@dataclass(frozen=True, slots=True)
class Rule:
    """How an alarm shows."""

    severity: Severity
    after_seconds: float = 0.0
    """How long it must last before anybody is told."""


RULES = {
    Code.STORAGE: Rule(Severity.ERROR),
    Code.UNAUTHORIZED: Rule(Severity.ERROR),
    Code.FORBIDDEN: Rule(Severity.WARNING),
    Code.TLS_REFUSED: Rule(Severity.ERROR),
    Code.TOO_LARGE: Rule(Severity.WARNING),
    Code.CONFIG_RESTART_NEEDED: Rule(Severity.WARNING),
    Code.DELIVERY_FAILED: Rule(Severity.WARNING),
    Code.CONSUMER_LAGGING: Rule(Severity.WARNING, after_seconds=60.0),
    Code.READERS_MISSING: Rule(Severity.WARNING, after_seconds=60.0),
    Code.READERS_TURNED_AWAY: Rule(Severity.WARNING),
    Code.MUTATION_CONFLICT: Rule(Severity.WARNING),
    Code.HOST_STATUS: Rule(Severity.WARNING),
    Code.HOST_DUPLICATE: Rule(Severity.WARNING),
    Code.ANSWER_OVERSIZED: Rule(Severity.WARNING),
    Code.PLATFORM_FLOOD: Rule(Severity.WARNING),
    Code.CLOCK_SKEWED: Rule(Severity.WARNING),
    Code.RUNTIME_NOT_TMPFS: Rule(Severity.INFO),
    Code.RUN_BY_ROOT: Rule(Severity.INFO),
}
"""Every code has its rule; a test holds the two together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What a task raised."""

    code: Code
    subject: str
    message: str
    hint: str
    since: datetime


def alarm_conditions(alarms: Iterable[Alarm], now: datetime) -> Iterator[Condition]:
    """Show the alarms that have lasted as long as their rule asks."""
    for alarm in alarms:
        rule = RULES[alarm.code]
        if _age(alarm.since, now) >= rule.after_seconds:
            yield Condition(
                code=alarm.code,
                severity=rule.severity,
                message=alarm.message,
                hint=alarm.hint,
                since=alarm.since,
                subject=alarm.subject,
            )


def config_conditions(line: ConfigHealth, started_at: datetime) -> Iterator[Condition]:
    """Say that the file cannot be used, and that the last good one is."""
    if not line.valid:
        yield Condition(
            code="config.invalid",
            severity=Severity.WARNING,
            message=f"{line.error or line.path}; the last good text stays in force",
            hint=line.hint or "see what is wrong: rensei-daemon config check",
            since=line.since or started_at,
        )


def heartbeat_conditions(
    line: HeartbeatHealth, started_at: datetime, now: datetime
) -> Iterator[Condition]:
    """Say that no beat has got through for too long, whatever the retries do.

    Five minutes make it an error, but never before the warning: with the slowest
    interval, 300 s, a healthy beat is older than that.
    """
    warning_after = max(
        BEAT_WARNING_AT_LEAST_SECONDS, BEAT_WARNING_INTERVALS * line.interval_seconds
    )
    error_after = max(BEAT_ERROR_SECONDS, warning_after)
    if line.last_ok_at is None:
        # Nothing but silence since the start must not look well once it may not be
        # called starting any more.
        warning_after = min(warning_after, STARTING_AT_MOST_SECONDS)
    since = line.last_ok_at or started_at
    age = _age(since, now)
    if age >= warning_after:
        said = f": {line.last_error}" if line.last_error else ""
        yield Condition(
            code="heartbeat.stale",
            severity=Severity.ERROR if age >= error_after else Severity.WARNING,
            message=f"no heartbeat gets through to the platform{said}",
            hint="see why: rensei-daemon logs --level warning",
            since=since,
        )


def pool_conditions(line: PoolHealth, started_at: datetime) -> Iterator[Condition]:
    """Say what the platform has done to the pool this host is bound to."""
    if not line.is_ok:
        which = f" {line.id}" if line.id else ""
        why = f": {line.reason}" if line.reason else ""
        pools = ", ".join(line.candidates)
        yield Condition(
            code=f"pool.{line.status}",
            severity=Severity.WARNING,
            message=f"this host's pool{which} is {line.status}{why}",
            hint=line.action
            or (
                f"bind this host to one of: {pools}" if pools else "bind it to another pool"
            ),
            since=line.since or started_at,
        )


def log_conditions(line: LogHealth, started_at: datetime) -> Iterator[Condition]:
    """Say, for information, that the log is not whole, or not as the file wants it."""
    if line.dropped:
        yield Condition(
            code="log.dropped",
            severity=Severity.INFO,
            message=f"{line.dropped} lines of the log were lost: nobody read it, "
            "or its disk was full",
            hint="see where: rensei-daemon logs --event log.dropped",
            since=line.dropped_since or started_at,
        )
    if line.level != line.configured_level:
        yield Condition(
            code="log.level",
            severity=Severity.INFO,
            message=f"the log level is {line.level} until a restart; "
            f"the configuration says {line.configured_level}",
            hint="go back to it: rensei-daemon logs --set-level config",
            since=line.since or started_at,
        )


def _age(since: datetime, now: datetime) -> float:
    return (now - since).total_seconds()
