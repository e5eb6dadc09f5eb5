"""The routes of the control API for operators: status, reload, sync, log level."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from rensei_daemon.clock import CLOCK
from rensei_daemon.control_api.schema import (
    LOG_LEVEL,
    RELOAD,
    SESSIONS,
    SET_LOG_LEVEL,
    STATUS,
    SYNC,
    LogLevelAnswer,
    Reloaded,
    Synced,
    SyncedSession,
)
from rensei_daemon.control_api.wire import Request, Route, Routes
from rensei_daemon.core.board import Board, report
from rensei_daemon.core.credential import difference
from rensei_daemon.core.scrub import Fingerprints
from rensei_daemon.core.status import plain, shift_times, to_json
from rensei_daemon.errors import ControlRefusedError
from rensei_daemon.logs.level import LogLevel
from rensei_daemon.tasks.heartbeat import HeartbeatSender
from rensei_daemon.tasks.reload import Reload
from rensei_daemon.tasks.rotation import Rotation
from rensei_daemon.tasks.sessions import Sessions
from rensei_daemon.wake_event import WakeEvent

SYNC_SECONDS = 45.0
"""How long a sync waits for the platform before it returns what has arrived."""

LOOK_SECONDS = 0.5
"""How long a status waits for the check of deliveries."""

SYNCS_AT_ONCE = 8
"""More would leave no connections for those who only read."""


@dataclass(frozen=True, slots=True)
class ControlRoutes:
    """Handles the routes by calling the tasks."""

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
        return {
            STATUS: Route(self._status),
            RELOAD: Route(self._reload, writes=True),
            SESSIONS: Route(self._sessions),
            SYNC: Route(self._sync, writes=True),
            LOG_LEVEL: Route(self._log_level),
            SET_LOG_LEVEL: Route(self._set_log_level, writes=True),
        }

    async def _status(self, _: Request) -> dict[str, Any]:
        self.log_level.post()  # lost lines are counted in another thread
        with anyio.move_on_after(LOOK_SECONDS):
            await self.sessions.check_deliveries()
        return to_json(report(self.board, *CLOCK.read()))

    async def _sessions(self, _: Request) -> dict[str, Any]:
        found = self.sessions.report(self.fingerprints)
        return {"sessions": plain(shift_times(found, CLOCK.ahead()))}

    async def _reload(self, _: Request) -> Reloaded:
        done = await self.reload()
        return Reloaded(applied=list(done.applied), needs_restart=list(done.needs_restart))

    async def _log_level(self, _: Request) -> LogLevelAnswer:
        line = self.board.log
        return LogLevelAnswer(level=line.level, configured_level=line.configured_level)

    async def _set_log_level(self, request: Request) -> LogLevelAnswer:
        body = request.body if isinstance(request.body, dict) else {}
        peer = request.peer
        self.log_level.request(body.get("level"), uid=peer.uid, pid=peer.pid)
        return await self._log_level(request)

    async def _sync(self, _: Request) -> Synced:
        ticket = object()
        try:
            self.syncs.acquire_on_behalf_of_nowait(ticket)
        except anyio.WouldBlock:
            raise ControlRefusedError(
                f"{SYNCS_AT_ONCE} syncs are under way already",
                hint="they bring what this one would; see: rensei-daemon status",
            ) from None
        try:
            return await self._sync_now()
        finally:
            self.syncs.release_on_behalf_of(ticket)

    async def _sync_now(self) -> Synced:
        rotations = self.sessions.rotations
        before = {rotation: rotation.credentials for rotation in rotations}
        is_beaten = False

        async def beat() -> None:
            nonlocal is_beaten
            self.wake_heartbeat.set()
            await self.heartbeat.cycle.wait_next()
            is_beaten = True

        refreshed: set[Rotation] = set()

        async def refresh(rotation: Rotation) -> None:
            await rotation.session_deliveries.check(until_tried=True)
            rotation.retry_now()
            await rotation.snapshot_cycle.wait_next()
            refreshed.add(rotation)

        with anyio.move_on_after(SYNC_SECONDS):
            async with anyio.create_task_group() as asked:
                asked.start_soon(beat)
                for rotation in rotations:
                    asked.start_soon(refresh, rotation)

        late = f"no answer within {SYNC_SECONDS:g} s"
        return Synced(
            beat_error=self.board.heartbeat.last_error if is_beaten else late,
            sessions=[
                SyncedSession(
                    id=rotation.session.id,
                    generation=rotation.credentials.generation,
                    changed=list(difference(before[rotation], rotation.credentials).names),
                    error=_error_of(rotation) if rotation in refreshed else late,
                )
                for rotation in rotations
            ],
        )


def _error_of(rotation: Rotation) -> str | None:
    return None if rotation.snapshot_error is None else str(rotation.snapshot_error)
