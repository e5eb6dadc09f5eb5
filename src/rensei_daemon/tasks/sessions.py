"""Which sessions run: exactly those of the configuration in force."""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskGroup

from rensei_daemon.core.board import Board
from rensei_daemon.settings.model import Session as SessionSettings
from rensei_daemon.tasks.bell import Bell
from rensei_daemon.tasks.configuration import Configuration
from rensei_daemon.tasks.rotation import Rotation

_log = structlog.get_logger()


@dataclass
class _Running:
    """One session under way."""

    settings: SessionSettings
    rotation: Rotation
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)


class Sessions:
    """Starts and ends rotations as the configuration changes."""

    def __init__(
        self,
        configuration: Configuration,
        board: Board,
        *,
        start: Callable[[SessionSettings], Rotation],
    ) -> None:
        """`start` makes a session's rotation; it may raise `SettingsError`."""
        self._configuration = configuration
        self._board = board
        self._start = start
        self._running: dict[str, _Running] = {}

    @property
    def rotations(self) -> tuple[Rotation, ...]:
        """Those under way."""
        return tuple(running.rotation for running in self._running.values())

    async def keep(self) -> None:
        """Hold the running sessions to the configuration; never returns."""
        changed = Bell()
        self._configuration.on_change(changed.ring)
        async with anyio.create_task_group() as tasks:
            while True:
                await self._reconcile(tasks)
                await changed.heard()

    async def _reconcile(self, tasks: TaskGroup) -> None:
        credentials = self._configuration.settings.credentials
        wanted = {session.id: session for session in credentials.resolved_sessions}
        for running in list(self._running.values()):
            if wanted.get(running.settings.id) != running.settings:
                await self._end(running)
        for session in wanted.values():
            if session.id not in self._running:
                running = _Running(session, self._start(session))
                self._running[session.id] = running
                tasks.start_soon(self._run, running, name=f"session {session.id}")

    async def _run(self, running: _Running) -> None:
        try:
            with running.scope:
                await running.rotation.run()
        finally:
            running.ended.set()

    async def _end(self, running: _Running) -> None:
        running.scope.cancel()
        await running.ended.wait()
        await running.rotation.withdraw()
        del self._running[running.settings.id]
        self._board.drop_session(running.settings.id)
        _log.info("session.ended", session_id=running.settings.id)
