"""The status of the daemon: its health records, its conditions and its state.

Values and their two formats, JSON and one line of text; conditions and the state are
decided elsewhere. Field names are the keys of the JSON, in its order, so a rename here or
in the health records breaks the scripts of operators.
"""

from datetime import datetime, timedelta
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
from rensei_daemon.core.iso_time import iso_time
from rensei_daemon.fast_dataclass import dataclass, names_of, replace


class DaemonState(StrEnum):
    """The state of the whole daemon, in one word."""

    STARTING = "starting"
    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The status of the daemon at one moment."""

    state: DaemonState
    reported_at: datetime
    """The time that ages are relative to."""
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
    """None if the pool has no problem."""
    log: LogHealth
    conditions: tuple[Condition, ...]
    """Sorted by severity, then by age; caused conditions follow their cause."""


def to_json(status: Status) -> dict[str, Any]:
    """Return a status in JSON types: times in ISO 8601 with Z, null for absent values."""
    spelled: dict[str, Any] = plain(status)
    return spelled


def plain(value: Any) -> Any:
    """Return any value, including nested dataclasses, in JSON types."""
    if isinstance(value, datetime):
        return iso_time(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if (names := names_of(value)) is not None:
        return {name: plain(getattr(value, name)) for name in names}
    return value


def shift_times(value: Any, by: timedelta) -> Any:
    """Return a value with every time in it moved by `by`."""
    if isinstance(value, datetime):
        return value + by
    if isinstance(value, tuple):
        return tuple(shift_times(item, by) for item in value)
    if (names := names_of(value)) is not None:
        return replace(
            value, **{name: shift_times(getattr(value, name), by) for name in names}
        )
    return value


def summary(status: Status) -> str:
    """Return a status in one line, for `systemctl status`."""
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
