"""When an alarm, or the health of a part of the daemon, amounts to a condition.

`now` is an argument: the time of a clock that nobody sets. The limits of sessions are in
`session_conditions`.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from rensei_daemon.core.conditions import (
    Alarm,
    Code,
    Condition,
    Severity,
    condition,
    pool_code,
    shown_after_seconds,
)
from rensei_daemon.core.health import (
    ConfigHealth,
    HeartbeatHealth,
    LogHealth,
    PoolHealth,
)

STARTING_AT_MOST_SECONDS = 60.0
"""By then the first heartbeat and every first snapshot should have come."""

BEAT_WARNING_INTERVALS = 3
BEAT_WARNING_AT_LEAST_SECONDS = 3.0
BEAT_ERROR_SECONDS = 300.0


def alarm_conditions(alarms: Iterable[Alarm], now: datetime) -> Iterator[Condition]:
    """Yield the alarms that are older than their rule demands."""
    for alarm in alarms:
        if _age(alarm.since, now) >= shown_after_seconds(alarm.code):
            yield condition(
                alarm.code,
                message=alarm.message,
                hint=alarm.hint,
                since=alarm.since,
                subject=alarm.subject,
            )


def config_conditions(line: ConfigHealth, started_at: datetime) -> Iterator[Condition]:
    """Yield a condition if the file cannot be used and an older text is in force."""
    if not line.valid:
        yield condition(
            Code.CONFIG_INVALID,
            message=f"{line.error or line.path}; the last good text stays in force",
            hint=line.hint or "see what is wrong: rensei-daemon config check",
            since=line.since or started_at,
        )


def heartbeat_conditions(
    line: HeartbeatHealth, started_at: datetime, now: datetime
) -> Iterator[Condition]:
    """Yield a condition if no heartbeat has succeeded for too long.

    After five minutes it is an error, but never before the warning: with the longest
    interval, 300 s, a healthy heartbeat is older than that.
    """
    warning_after = max(
        BEAT_WARNING_AT_LEAST_SECONDS, BEAT_WARNING_INTERVALS * line.interval_seconds
    )
    error_after = max(BEAT_ERROR_SECONDS, warning_after)
    if line.last_ok_at is None:
        # Failure since the start must be reported once the daemon no longer
        # counts as starting.
        warning_after = min(warning_after, STARTING_AT_MOST_SECONDS)
    since = line.last_ok_at or started_at
    age = _age(since, now)
    if age >= warning_after:
        detail = f": {line.last_error}" if line.last_error else ""
        yield condition(
            Code.HEARTBEAT_STALE,
            severity=Severity.ERROR if age >= error_after else Severity.WARNING,
            message=f"no heartbeat gets through to the platform{detail}",
            hint="see why: rensei-daemon logs --level warning",
            since=since,
        )


def pool_conditions(line: PoolHealth, started_at: datetime) -> Iterator[Condition]:
    """Yield a condition if the platform changed the pool this host is bound to."""
    if not line.is_ok:
        which = f" {line.id}" if line.id else ""
        why = f": {line.reason}" if line.reason else ""
        pools = ", ".join(line.candidates)
        yield condition(
            pool_code(line.status),
            message=f"this host's pool{which} is {line.status}{why}",
            hint=line.action
            or (
                f"bind this host to one of: {pools}" if pools else "bind it to another pool"
            ),
            since=line.since or started_at,
        )


def log_conditions(line: LogHealth, started_at: datetime) -> Iterator[Condition]:
    """Yield an informational condition if log lines were lost or the level was changed."""
    if line.dropped:
        yield condition(
            Code.LOG_DROPPED,
            message=f"{line.dropped} lines of the log were lost: nobody read it, "
            "or it could not be written",
            hint="see where: rensei-daemon logs --event log.dropped",
            since=line.dropped_since or started_at,
        )
    if line.level != line.configured_level:
        yield condition(
            Code.LOG_LEVEL,
            message=f"the log level is {line.level} until a restart; "
            f"the configuration says {line.configured_level}",
            hint="go back to it: rensei-daemon logs --set-level config",
            since=line.since or started_at,
        )


def _age(since: datetime, now: datetime) -> float:
    return (now - since).total_seconds()
