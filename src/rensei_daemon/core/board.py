"""The board: the single source of the daemon's health.

Each task posts its own health record and raises its own alarms; the control API, `STATUS=`,
`status.json` and the heartbeat read the board. Nothing else decides whether the daemon is
healthy.

The board has no clock. What only time makes true (a heartbeat too old, a stream long down)
appears when a report is made for a given `now`; `on_change` reports only what was posted,
raised or cleared, and never the same twice.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import assert_never

from rensei_daemon.core import daemon_conditions, root_causes, session_conditions
from rensei_daemon.core.conditions import Alarm, Code, Condition, Severity
from rensei_daemon.core.health import (
    ConfigHealth,
    HeartbeatHealth,
    LogHealth,
    MutationsHealth,
    PoolHealth,
    ProjectsHealth,
    SessionHealth,
    WorkerHealth,
)
from rensei_daemon.core.hints import DaemonAddress
from rensei_daemon.core.status import DaemonState, Status, shift_times
from rensei_daemon.fast_dataclass import replace

OnlyLine = (
    ConfigHealth
    | WorkerHealth
    | HeartbeatHealth
    | MutationsHealth
    | ProjectsHealth
    | PoolHealth
    | LogHealth
)
"""A health record of which there is exactly one."""

Line = OnlyLine | SessionHealth


class Board:
    """The latest records of all tasks; read attributes freely, change them by methods."""

    def __init__(
        self,
        *,
        version: str,
        pid: int,
        started_at: datetime,
        config: ConfigHealth,
        worker: WorkerHealth,
        heartbeat: HeartbeatHealth,
        on_change: Callable[[], None] = lambda: None,
        on_session_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.version = version
        self.pid = pid
        self.started_at = started_at
        self.config = config
        self.worker = worker
        self.heartbeat = heartbeat
        self.mutations = MutationsHealth()
        self.projects = ProjectsHealth()
        self.pool = PoolHealth()
        self.log = LogHealth()
        self.sessions: dict[str, SessionHealth] = {}
        self.alarms: dict[tuple[Code, str], Alarm] = {}
        self.address = DaemonAddress()
        """How commands reach this daemon; hints are adapted to it."""
        self.is_stopping = False
        self.on_change = on_change
        self.on_session_change = on_session_change

    def post(self, line: Line) -> None:
        """Replace the record of the same type."""
        before: Line | None
        if isinstance(line, SessionHealth):
            if self.is_stopping:
                return  # readers leave because we do; who they were stays on record
            before = self.sessions.get(line.id)
            self.sessions[line.id] = line
            if before != line:
                self.on_session_change()
        else:
            before = self._replace(line)
        if before != line:
            self.on_change()

    def _replace(self, line: OnlyLine) -> OnlyLine:
        before: OnlyLine
        match line:
            case ConfigHealth():
                before, self.config = self.config, line
            case WorkerHealth():
                before, self.worker = self.worker, line
            case HeartbeatHealth():
                before, self.heartbeat = self.heartbeat, line
            case MutationsHealth():
                before, self.mutations = self.mutations, line
            case ProjectsHealth():
                before, self.projects = self.projects, line
            case PoolHealth():
                before, self.pool = self.pool, line
            case LogHealth():
                before, self.log = self.log, line
            case _:
                assert_never(line)
        return before

    def drop_session(self, session: str) -> None:
        """Remove a session that is no longer configured, and its alarms."""
        line = self.sessions.pop(session, None)
        # A session may have the name of another alarm's subject: `config`,
        # `heartbeat`.
        about_it = [
            (code, subject)
            for code, subject in self.alarms
            if subject.startswith(f"{session}:")
            or (code is Code.DELIVERY_FAILED and subject == session)
        ]
        for key in about_it:
            del self.alarms[key]
        if line:
            self.on_session_change()
        if line or about_it:
            self.on_change()

    def raise_alarm(
        self, code: Code, message: str, *, hint: str, now: datetime, subject: str = ""
    ) -> None:
        """Raise an alarm, or change the text of an active one, which keeps its `since`.

        `subject` distinguishes alarms of one code: a session's id,
        `SESSION:CONSUMER`, a mutation's id. No message or hint may contain a
        secret.
        """
        before = self.alarms.get((code, subject))
        since = before.since if before else now
        alarm = Alarm(code=code, subject=subject, message=message, hint=hint, since=since)
        self.alarms[code, subject] = alarm
        if alarm != before:
            self.on_change()

    def clear(self, code: Code, subject: str = "") -> None:
        """Clear an alarm; one that is not active may be cleared too."""
        if self.alarms.pop((code, subject), None):
            self.on_change()

    def stop(self) -> None:
        """Report the daemon as stopping, whatever else is true."""
        self.is_stopping = True
        self.on_change()


def report(board: Board, now: datetime, ahead: timedelta = timedelta(0)) -> Status:
    """Return the daemon's state at `now`, and its reasons.

    All times on the board and `now` are of a clock that nobody sets; `ahead` is how far
    the wall clock, which people read, is ahead of it.
    """
    status = _report(board, now)
    if not ahead:
        return status
    shown: Status = shift_times(status, ahead)
    return replace(
        shown, mutations=status.mutations
    )  # the journal's times are of the wall clock


def _report(board: Board, now: datetime) -> Status:
    adapted = (replace(c, hint=board.address.hint(c.hint)) for c in _conditions(board, now))
    found = root_causes.link_causes(adapted, board.heartbeat, board.sessions)
    return Status(
        state=_state(board, found, now),
        reported_at=now,
        version=board.version,
        pid=board.pid,
        uptime_seconds=max(0, int((now - board.started_at).total_seconds())),
        config=board.config,
        worker_id=board.worker.worker_id,
        worker_host_id=board.worker.worker_host_id,
        platform_url=board.worker.platform_url,
        heartbeat=board.heartbeat,
        mutations=board.mutations,
        sessions=tuple(board.sessions[session] for session in sorted(board.sessions)),
        projects=board.projects,
        pool=None if board.pool.is_ok else board.pool,
        log=board.log,
        conditions=found,
    )


def _conditions(board: Board, now: datetime) -> Iterator[Condition]:
    started_at = board.started_at
    yield from daemon_conditions.alarm_conditions(board.alarms.values(), now)
    yield from daemon_conditions.config_conditions(board.config, started_at)
    yield from daemon_conditions.heartbeat_conditions(board.heartbeat, started_at, now)
    yield from daemon_conditions.pool_conditions(board.pool, started_at)
    yield from daemon_conditions.log_conditions(board.log, started_at)
    yield from session_conditions.no_sessions_condition(board.sessions, started_at)
    for session in board.sessions.values():
        yield from session_conditions.session_conditions(session, now)


def _state(board: Board, found: Iterable[Condition], now: datetime) -> DaemonState:
    severities = {condition.severity for condition in found}
    if board.is_stopping:
        return DaemonState.STOPPING
    if Severity.ERROR in severities:
        return DaemonState.FAILED
    if _is_starting(board, now):
        return DaemonState.STARTING
    return DaemonState.DEGRADED if Severity.WARNING in severities else DaemonState.OK


def _is_starting(board: Board, now: datetime) -> bool:
    age = (now - board.started_at).total_seconds()
    has_all = board.heartbeat.last_ok_at is not None and all(
        session.refreshed_at is not None for session in board.sessions.values()
    )
    return not has_all and age < daemon_conditions.STARTING_AT_MOST_SECONDS
