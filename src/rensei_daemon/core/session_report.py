"""What a session has: names, fingerprints and ages, never a value."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TypedDict

from rensei_daemon.core.credential import Credentials
from rensei_daemon.core.health import ConsumerHealth
from rensei_daemon.core.iso_time import iso_time
from rensei_daemon.core.scrub import Fingerprints


class VariableReport(TypedDict):
    """One variable of a session."""

    name: str
    fingerprint: str
    """Twelve hex digits; equal values have equal ones while this daemon runs."""
    changed_at: str
    """When the daemon last saw the value change."""


class ConsumerReport(TypedDict):
    """One consumer of a session's values."""

    kind: str
    name: str
    generation: int | None
    lag: int | None
    """How many generations it is behind; None if it has none."""


class SessionReport(TypedDict):
    """One session, its variables and its consumers, as JSON."""

    id: str
    generation: int
    """0 before the first snapshot."""
    refreshed_at: str | None
    error: str | None
    """Why the last snapshot failed."""
    variables: list[VariableReport]
    consumers: list[ConsumerReport]


def report_session(
    id_: str,
    credentials: Credentials,
    *,
    changed_at: Mapping[str, datetime],
    refreshed_at: datetime | None,
    error: str | None,
    consumers: Iterable[ConsumerHealth],
    fingerprints: Fingerprints,
    clock_ahead: timedelta,
) -> SessionReport:
    """Return the report of one session; `changed_at` has a time for each name.

    `clock_ahead` is how far the wall clock is ahead of these times.
    """
    return SessionReport(
        id=id_,
        generation=credentials.generation,
        refreshed_at=iso_time(refreshed_at + clock_ahead) if refreshed_at else None,
        error=error,
        variables=[
            VariableReport(
                name=name,
                fingerprint=fingerprints.of(value),
                changed_at=iso_time(changed_at[name] + clock_ahead),
            )
            for name, value in sorted(credentials.env.items())
        ],
        consumers=[
            ConsumerReport(
                kind=consumer.kind,
                name=consumer.name,
                generation=(has := consumer.generation),
                lag=None if has is None else credentials.generation - has,
            )
            for consumer in consumers
        ],
    )
