"""Reports what the sessions have: names, fingerprints and ages, never a value."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from rensei_daemon.core.health import ConsumerHealth
from rensei_daemon.core.scrub import Fingerprints
from rensei_daemon.tasks.rotation import Rotation


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReport:
    """One session, its variables and its consumers."""

    id: str
    generation: int
    refreshed_at: datetime | None
    error: str | None
    variables: tuple[VariableReport, ...]
    consumers: tuple[ConsumerReport, ...]


def report_sessions(
    rotations: Iterable[Rotation], fingerprints: Fingerprints
) -> list[SessionReport]:
    """Return a report of every session, sorted by id."""
    by_id = sorted(rotations, key=lambda rotation: rotation.session.id)
    return [_of(rotation, fingerprints) for rotation in by_id]


def _of(rotation: Rotation, fingerprints: Fingerprints) -> SessionReport:
    credentials, error = rotation.credentials, rotation.snapshot_error
    return SessionReport(
        id=rotation.session.id,
        generation=credentials.generation,
        refreshed_at=rotation.refreshed_at,
        error=None if error is None else str(error),
        variables=tuple(
            VariableReport(
                name=name,
                fingerprint=fingerprints.of(value),
                changed_at=rotation.changed_at[name],
            )
            for name, value in sorted(credentials.env.items())
        ),
        consumers=tuple(
            _consumer(line, credentials.generation)
            for line in rotation.session_deliveries.consumers
        ),
    )


def _consumer(line: ConsumerHealth, newest: int) -> ConsumerReport:
    lag = None if line.generation is None else newest - line.generation
    return ConsumerReport(
        kind=line.kind, name=line.name, generation=line.generation, lag=lag
    )
