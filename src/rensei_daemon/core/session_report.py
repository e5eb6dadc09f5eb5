"""What a session has: names, fingerprints and ages, never a value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from rensei_daemon.core.credential import Credentials
from rensei_daemon.core.health import ConsumerHealth
from rensei_daemon.core.scrub import Fingerprints


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableReport:
    """One variable of a session."""

    name: str
    fingerprint: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerReport:
    """One consumer of a session's values."""

    kind: str
    name: str
    generation: int | None
    lag: int | None
    """How many generations it is behind; None if it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReport:
    """One session, its variables and its consumers."""

    id: str
    generation: int
    refreshed_at: datetime | None
    error: str | None
    variables: tuple[VariableReport, ...]
    consumers: tuple[ConsumerReport, ...]


def report_session(
    id_: str,
    credentials: Credentials,
    *,
    changed_at: Mapping[str, datetime],
    refreshed_at: datetime | None,
    error: str | None,
    consumers: Iterable[ConsumerHealth],
    fingerprints: Fingerprints,
) -> SessionReport:
    """Return the report of one session; `changed_at` has a time for each name."""
    return SessionReport(
        id=id_,
        generation=credentials.generation,
        refreshed_at=refreshed_at,
        error=error,
        variables=tuple(
            VariableReport(
                name=name, fingerprint=fingerprints.of(value), changed_at=changed_at[name]
            )
            for name, value in sorted(credentials.env.items())
        ),
        consumers=tuple(
            ConsumerReport(
                kind=consumer.kind,
                name=consumer.name,
                generation=(has := consumer.generation),
                lag=None if has is None else credentials.generation - has,
            )
            for consumer in consumers
        ),
    )
