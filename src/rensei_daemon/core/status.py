"""The daemon at one moment: its lines, its conditions, and the state they add up to.

These are values and their two spellings, JSON and one line of text; what makes a
condition, and a state, is decided elsewhere. Field names are the keys of the JSON, in
its order, so a rename here or in the lines breaks other people's scripts.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from rensei_daemon.core.conditions import Condition, Severity
from rensei_daemon.core.health import (
    ConfigHealth,
    HeartbeatHealth,
    LogHealth,
    MutationsHealth,
    PoolHealth,
    ProjectsHealth,
    SessionHealth,
    StreamState,
)


class DaemonState(StrEnum):
    """The whole daemon in one word."""

    STARTING = "starting"
    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The daemon at one moment."""

    state: DaemonState
    reported_at: datetime
    """What every age is counted from."""
    version: str
    pid: int
    uptime_seconds: int
    config: ConfigHealth
    worker_id: str | None
    worker_host_id: str | None
    platform_url: str
    heartbeat: HeartbeatHealth
    mutations: MutationsHealth
    sessions: tuple[SessionHealth, ...]
    projects: ProjectsHealth
    pool: PoolHealth | None
    """None while there is nothing to say about it."""
    log: LogHealth
    conditions: tuple[Condition, ...]
    """The gravest first, then the oldest; what follows from one, right behind it."""


def to_json(status: Status) -> dict[str, Any]:
    """Spell a status in JSON's types: times in ISO 8601 with Z, absent things null."""
    spelled: dict[str, Any] = plain(status)
    return spelled


def plain(value: Any) -> Any:
    """Spell any value of ours, dataclasses in it included, in JSON's types."""
    if isinstance(value, datetime):
        zulu = value.astimezone(UTC).isoformat(timespec="milliseconds")
        return zulu.replace("+00:00", "Z")
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value


def shift_times(value: Any, by: timedelta) -> Any:
    """Return a value of ours with every time in it moved by so much."""
    if isinstance(value, datetime):
        return value + by
    if isinstance(value, tuple):
        return tuple(shift_times(item, by) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        return replace(
            value, **{name: shift_times(getattr(value, name), by) for name in names}
        )
    return value


def summary(status: Status) -> str:
    """Put a status in one line, for `systemctl status`."""
    grave = [c for c in status.conditions if c.severity is not Severity.INFO]
    worst = [c for c in grave if c.because_of is None]
    if not worst:
        return f"{status.state}: {_all_well(status.sessions, status.projects)}"
    more = f" (and {len(worst) - 1} more)" if len(worst) > 1 else ""
    return f"{status.state}: {' '.join(worst[0].message.split())}{more}"


def _all_well(sessions: tuple[SessionHealth, ...], projects: ProjectsHealth) -> str:
    live = sum(session.stream is StreamState.LIVE for session in sessions)
    streams = f"{live} of {len(sessions)} sessions live" if sessions else "no sessions"
    return f"{streams}, {projects.enabled} projects enabled"
