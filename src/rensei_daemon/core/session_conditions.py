"""When a session's health record is a condition: old data, or no live stream."""

from collections.abc import Collection, Iterator
from datetime import datetime

from rensei_daemon.core.conditions import Code, Condition, condition
from rensei_daemon.core.duration import format_duration
from rensei_daemon.core.health import MOST_ENDS, SessionHealth, StreamState

SESSION_GRACE_SECONDS = 60.0
"""After `refresh_until`, or after the start if there was never any data."""
REFRESH_AT_LEAST_SECONDS = 30.0
"""No refresh is due sooner after the last one, whatever the platform says."""
REFRESH_UNKNOWN_SECONDS = 900.0
"""When a refresh is due if the platform does not say."""

STREAM_WARNING_SECONDS = 60.0
FLAPPING_SECONDS = 600.0
"""As many ends of streams as are remembered, within this time, are too many."""
UNCONFIRMED_SECONDS = 60.0
"""How long a snapshot may be wanted before it is a condition."""


def session_conditions(line: SessionHealth, now: datetime) -> Iterator[Condition]:
    """Yield conditions if a session's data is old or its stream is not live."""
    since = _stale_since(line, now)
    if since is not None:
        what = "are out of date" if line.refreshed_at else "have never arrived"
        yield condition(
            Code.SESSION_STALE,
            message=f"the credentials of session {line.id} {what}",
            hint=f"rensei-daemon sync, then: rensei-daemon logs --session {line.id}",
            since=since,
            subject=line.id,
        )
    yield from _of_stream(line, now)
    yield from _unconfirmed(line, now)


def _of_stream(line: SessionHealth, now: datetime) -> Iterator[Condition]:
    is_live = line.stream is StreamState.LIVE
    if not is_live and _age(line.since, now) >= STREAM_WARNING_SECONDS:
        what, hint = "is not live", f"see why: rensei-daemon logs --session {line.id}"
        if line.stream is StreamState.SILENT:
            what = "is open, but nothing has come over it"
            hint = "a proxy may hold answers back until they end: have it pass them on"
        yield condition(
            Code.STREAM_INTERRUPTED,
            message=f"the rotate stream of session {line.id} {what}; "
            "rotations arrive by polling, later",
            hint=hint,
            since=line.since,
            subject=line.id,
        )
    ends = line.stream_ended_at
    if len(ends) == MOST_ENDS and _age(ends[0], now) <= FLAPPING_SECONDS:
        lived = format_duration(line.stream_lived_seconds or 0.0)
        yield condition(
            Code.STREAM_FLAPPING,
            message=f"the rotate stream of session {line.id} keeps ending, "
            f"the last one after {lived}",
            hint="a proxy or gateway may end long answers: raise its limit for "
            "/api/daemon/credentials/rotate-stream",
            since=ends[0],
            subject=line.id,
        )


def _unconfirmed(line: SessionHealth, now: datetime) -> Iterator[Condition]:
    """Yield a condition if the values may differ from the platform's, and why."""
    hint = f"rensei-daemon sync, then: rensei-daemon logs --session {line.id}"
    if line.lost_names_at is not None:
        yield condition(
            Code.SESSION_UNCONFIRMED,
            message=f"the last snapshot of session {line.id} took {line.lost_names} of "
            f"{line.lost_names + len(line.names)} names away; none has confirmed it",
            hint=hint,
            since=line.lost_names_at,
            subject=line.id,
        )
    elif (
        line.refreshed_at is not None  # else it is stale, which is worse
        and line.wanted_since is not None
        and _age(line.wanted_since, now) >= UNCONFIRMED_SECONDS
    ):
        yield condition(
            Code.SESSION_UNCONFIRMED,
            message=f"a snapshot of session {line.id} is wanted and does not come: "
            f"{line.wanted_for}",
            hint=hint,
            since=line.wanted_since,
            subject=line.id,
        )


def _stale_since(line: SessionHealth, now: datetime) -> datetime | None:
    # Compare ages instead of adding times: a refresh_until in the year 9999 must not
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


def no_sessions_condition(
    sessions: Collection[str], started_at: datetime
) -> Iterator[Condition]:
    """Yield an informational condition: no session is configured."""
    if not sessions:
        yield condition(
            Code.SESSIONS_NONE,
            message="no credential sessions are configured",
            hint="add one: [[credentials.sessions]] in the configuration",
            since=started_at,
        )


def _age(since: datetime, now: datetime) -> float:
    return (now - since).total_seconds()
