"""The routes of the control API for operators: status, reload, sync, log level."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from rensei_daemon.clock import CLOCK
from rensei_daemon.control_api import schema
from rensei_daemon.control_api.wire import Request, Routes, route
from rensei_daemon.core.board import Board, report
from rensei_daemon.core.credential import Credentials, difference
from rensei_daemon.core.scrub import Fingerprints
from rensei_daemon.core.status import to_json
from rensei_daemon.errors import ControlRefusedError, Failure
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.logs.level import LogLevel
from rensei_daemon.tasks.heartbeat import HeartbeatSender
from rensei_daemon.tasks.reload import Reload
from rensei_daemon.tasks.rotation import Rotation
from rensei_daemon.tasks.sessions import Sessions
from rensei_daemon.wake_event import WakeEvent

SYNC_SECONDS = 45.0
"""How long a sync waits for the platform before it returns what has arrived."""
_LATE = f"no answer within {SYNC_SECONDS:g} s"

LOOK_SECONDS = 0.5
"""How long a status waits for the check of deliveries."""

SYNCS_AT_ONCE = 8
"""More would leave no connections for those who only read."""


@dataclass(frozen=True, slots=True)
class ControlRoutes:
    """The handlers, and the parts of the daemon that they use."""

    board: Board
    heartbeat: HeartbeatSender
    wake_heartbeat: WakeEvent
    sessions: Sessions
    reload: Callable[[], Awaitable[Reload]]
    fingerprints: Fingerprints
    log_level: LogLevel
    syncs: anyio.CapacityLimiter = field(
        default_factory=lambda: anyio.CapacityLimiter(SYNCS_AT_ONCE)
    )

    def routes(self) -> Routes:
        """Return the routes."""
        return dict(
            [
                route(schema.STATUS, self._status),
                route(schema.RELOAD, self._reload),
                route(schema.SESSIONS, self._sessions),
                route(schema.SYNC, self._sync),
                route(schema.LOG_LEVEL, self._log_level),
                route(schema.SET_LOG_LEVEL, self._set_log_level),
            ]
        )

    async def _status(self, _: Request) -> dict[str, Any]:
        self.log_level.post()  # lost lines are counted in another thread
        with anyio.move_on_after(LOOK_SECONDS):
            await self.sessions.check_deliveries()
        return to_json(report(self.board, *CLOCK.read()))

    async def _sessions(self, _: Request) -> schema.Sessions:
        return schema.Sessions(sessions=self.sessions.report(self.fingerprints))

    async def _reload(self, _: Request) -> schema.Reloaded:
        done = await self.reload()
        return schema.Reloaded(
            applied=list(done.applied), needs_restart=list(done.needs_restart)
        )

    async def _log_level(self, _: Request) -> schema.LogLevelAnswer:
        line = self.board.log
        return schema.LogLevelAnswer(
            level=line.level, configured_level=line.configured_level
        )

    async def _set_log_level(self, request: Request) -> schema.LogLevelAnswer:
        body = request.body if isinstance(request.body, dict) else {}
        peer = request.peer
        self.log_level.request(body.get("level"), uid=peer.uid, pid=peer.pid)
        return await self._log_level(request)

    async def _sync(self, _: Request) -> schema.Synced:
        ticket = object()
        try:
            self.syncs.acquire_on_behalf_of_nowait(ticket)
        except anyio.WouldBlock:
            raise ControlRefusedError(
                f"{SYNCS_AT_ONCE} syncs are running already",
                hint="wait for them; see: rensei-daemon status",
            ) from None
        try:
            return await self._sync_now()
        finally:
            self.syncs.release_on_behalf_of(ticket)

    async def _sync_now(self) -> schema.Synced:
        rotations = self.sessions.rotations
        before = {rotation: rotation.credentials for rotation in rotations}
        refreshed = set[Rotation]()
        is_sent = False

        async def beat() -> None:
            nonlocal is_sent
            self.wake_heartbeat.set()
            await self.heartbeat.cycle.wait_next()
            is_sent = True

        with anyio.move_on_after(SYNC_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(beat)
                for rotation in rotations:
                    tasks.start_soon(_refresh, rotation, refreshed)
        health = self.board.heartbeat
        return schema.Synced(
            beat_error=health.last_error if is_sent else _LATE,
            beat_failure=health.last_failure if is_sent else Failure.TIMEOUT,
            sessions=[
                _synced(rotation, before[rotation], rotation in refreshed)
                for rotation in rotations
            ],
        )


async def _refresh(rotation: Rotation, refreshed: set[Rotation]) -> None:
    await rotation.session_deliveries.check(until_tried=True)
    rotation.retry_now()
    await rotation.snapshot_cycle.wait_next()
    refreshed.add(rotation)


def _synced(
    rotation: Rotation, before: Credentials, is_refreshed: bool
) -> schema.SyncedSession:
    met = rotation.snapshot_error
    error, failure = (str(met), met.failure) if met else (None, None)
    if not is_refreshed:
        error, failure = _LATE, Failure.TIMEOUT
    return schema.SyncedSession(
        id=rotation.session.id,
        generation=rotation.credentials.generation,
        changed=list(difference(before, rotation.credentials).names),
        error=error,
        failure=failure,
    )
