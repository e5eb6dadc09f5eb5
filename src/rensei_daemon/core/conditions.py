"""Which lines and alarms amount to a condition, how grave, and after how long.

Every limit of the health model is in this file. It knows no clock: `now` arrives. A
function here yields the conditions of one line; which of them follow from others is
the business of `causes`, and what they add up to the board's.

Alarms are for what no line can show: a task raises one by its code and clears it.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rensei_daemon.core.lines import (
    MOST_ENDS,
    ConfigLine,
    HeartbeatLine,
    LogLine,
    PoolLine,
    SessionLine,
    StreamState,
)
from rensei_daemon.core.span import span
from rensei_daemon.core.status import Condition, Severity

STARTING_AT_MOST_SECONDS = 60.0
"""By then the first beat and every first snapshot should have come."""

BEAT_WARNING_INTERVALS = 3
BEAT_WARNING_AT_LEAST_SECONDS = 3.0
BEAT_ERROR_SECONDS = 300.0

SESSION_GRACE_SECONDS = 60.0
"""After `refresh_until`, or after the start when there was never any data."""
REFRESH_AT_LEAST_SECONDS = 30.0
"""No refresh is due sooner than this after the last one, whatever the platform says."""
REFRESH_UNKNOWN_SECONDS = 900.0
"""When a refresh is due if the platform did not say."""

STREAM_WARNING_SECONDS = 60.0
FLAPPING_SECONDS = 600.0
"""So many ends of streams as are remembered, within this time, are too many."""
UNCONFIRMED_SECONDS = 60.0
"""How long a snapshot may be wanted before anybody is told."""


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
    READERS_TURNED_AWAY = "readers.turned_away"
    MUTATION_CONFLICT = "mutation.conflict"
    HOST_STATUS = "host.status"
    """The platform objects to this host, in a word that is neither ok nor of a pool."""
    HOST_DUPLICATE = "host.duplicate"
    ANSWER_OVERSIZED = "oversized"
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
    Code.READERS_TURNED_AWAY: Rule(Severity.WARNING),
    Code.MUTATION_CONFLICT: Rule(Severity.WARNING),
    Code.HOST_STATUS: Rule(Severity.WARNING),
    Code.HOST_DUPLICATE: Rule(Severity.WARNING),
    Code.ANSWER_OVERSIZED: Rule(Severity.WARNING),
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


def of_alarms(alarms: Iterable[Alarm], now: datetime) -> Iterator[Condition]:
    """Show the alarms that have lasted as long as their rule asks."""
    for alarm in alarms:
        rule = RULES[alarm.code]
        # A clock that was set back makes no alarm younger than one that shows at once.
        if max(_age(alarm.since, now), 0.0) >= rule.after_seconds:
            yield Condition(
                code=alarm.code,
                severity=rule.severity,
                message=alarm.message,
                hint=alarm.hint,
                since=alarm.since,
                subject=alarm.subject,
            )


def of_config(line: ConfigLine, started_at: datetime) -> Iterator[Condition]:
    """Say that the file cannot be used, and that the last good one is."""
    if not line.valid:
        yield Condition(
            code="config.invalid",
            severity=Severity.WARNING,
            message=f"{line.error or line.path}; the last good text stays in force",
            hint=line.hint or "see what is wrong: rensei-daemon config check",
            since=line.since or started_at,
        )


def of_heartbeat(
    line: HeartbeatLine, started_at: datetime, now: datetime
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
    if age < 0 and line.consecutive_failures >= BEAT_WARNING_INTERVALS:
        age = warning_after  # the clock was set back: the last good beat proves nothing
    if age >= warning_after:
        said = f": {line.last_error}" if line.last_error else ""
        yield Condition(
            code="heartbeat.stale",
            severity=Severity.ERROR if age >= error_after else Severity.WARNING,
            message=f"no heartbeat gets through to the platform{said}",
            hint="see why: rensei-daemon logs --level warning",
            since=since,
        )


def of_session(line: SessionLine, now: datetime) -> Iterator[Condition]:
    """Say that a session's data are old, or that its stream is not live."""
    since = _stale_since(line, now)
    if since is not None:
        what = "are out of date" if line.refreshed_at else "have never arrived"
        yield Condition(
            code="session.stale",
            severity=Severity.ERROR,
            message=f"the credentials of session {line.id} {what}",
            hint=f"rensei-daemon sync, then: rensei-daemon logs --session {line.id}",
            since=since,
            subject=line.id,
        )
    yield from _of_stream(line, now)
    yield from _unconfirmed(line, now)


def _of_stream(line: SessionLine, now: datetime) -> Iterator[Condition]:
    is_live = line.stream is StreamState.LIVE
    if not is_live and _age(line.since, now) >= STREAM_WARNING_SECONDS:
        what, hint = "is not live", f"see why: rensei-daemon logs --session {line.id}"
        if line.stream is StreamState.SILENT:
            what = "is open, but nothing has come over it"
            hint = "a proxy may hold answers back until they end: have it pass them on"
        yield Condition(
            code="stream.interrupted",
            severity=Severity.WARNING,
            message=f"the rotate stream of session {line.id} {what}; "
            "rotations arrive by polling, later",
            hint=hint,
            since=line.since,
            subject=line.id,
        )
    ends = line.stream_ended_at
    if len(ends) == MOST_ENDS and _age(ends[0], now) <= FLAPPING_SECONDS:
        lived = span(line.stream_lived_seconds or 0.0)
        yield Condition(
            code="stream.flapping",
            severity=Severity.WARNING,
            message=f"the rotate stream of session {line.id} keeps ending, "
            f"the last one after {lived}",
            hint="a proxy or gateway may end long answers: raise its limit for "
            "/api/daemon/credentials/rotate-stream",
            since=ends[0],
            subject=line.id,
        )


def _unconfirmed(line: SessionLine, now: datetime) -> Iterator[Condition]:
    """Say that the values may not be what the platform has, and why."""
    hint = f"rensei-daemon sync, then: rensei-daemon logs --session {line.id}"
    if line.lost_names_at is not None:
        yield Condition(
            code="session.unconfirmed",
            severity=Severity.WARNING,
            message=f"the last snapshot of session {line.id} took {line.lost_names} of "
            f"{line.lost_names + len(line.names)} names away; none has confirmed it",
            hint=hint,
            since=line.lost_names_at,
            subject=line.id,
        )
    elif (
        line.refreshed_at is not None  # else it is stale, which says more
        and line.wanted_since is not None
        and _age(line.wanted_since, now) >= UNCONFIRMED_SECONDS
    ):
        yield Condition(
            code="session.unconfirmed",
            severity=Severity.WARNING,
            message=f"a snapshot of session {line.id} is wanted and does not come: "
            f"{line.wanted_for}",
            hint=hint,
            since=line.wanted_since,
            subject=line.id,
        )


def _stale_since(line: SessionLine, now: datetime) -> datetime | None:
    # Ages are compared, not times added up: a refresh_until in the year 9999 must not
    # overflow.
    if line.refreshed_at is None:
        overdue, since = _age(line.added_at, now), line.added_at
    else:
        data_age = _age(line.refreshed_at, now)
        if line.refresh_until is None:
            overdue, since = data_age - REFRESH_UNKNOWN_SECONDS, line.refreshed_at
        else:
            due_age = _age(line.refresh_until, now)
            overdue = min(due_age, data_age - REFRESH_AT_LEAST_SECONDS)
            since = max(line.refresh_until, line.refreshed_at)
    return since if overdue >= SESSION_GRACE_SECONDS else None


def of_sessions(sessions: Collection[str], started_at: datetime) -> Iterator[Condition]:
    """Say, for information, that nobody gets credentials here."""
    if not sessions:
        yield Condition(
            code="sessions.none",
            severity=Severity.INFO,
            message="no credential sessions are configured",
            hint="add one: [[credentials.sessions]] in the configuration",
            since=started_at,
        )


def of_pool(line: PoolLine, started_at: datetime) -> Iterator[Condition]:
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


def of_log(line: LogLine, started_at: datetime) -> Iterator[Condition]:
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
