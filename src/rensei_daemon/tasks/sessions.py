"""Which sessions run: exactly those of the configuration in force."""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

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

    async def keep(
        self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Hold the running sessions to the configuration; never returns.

        Started once every session of the first configuration exists.
        """
        changed = Bell()
        self._configuration.on_change(changed.ring)
        async with anyio.create_task_group() as tasks:
            await self._reconcile(tasks)
            task_status.started()
            while True:
                await changed.heard()
                await self._reconcile(tasks)

    async def _reconcile(self, tasks: TaskGroup) -> None:
        credentials = self._configuration.settings.credentials
        wanted = {session.id: session for session in credentials.resolved_sessions}
        for running in list(self._running.values()):
            settings = wanted.get(running.settings.id)
            if settings is None:
                await self._end(running)
                await running.rotation.withdraw()
                _log.info("session.ended", session=running.settings.id)
            elif settings != running.settings:
                await self._end(running)
                successor = self._begin(settings, tasks)
                # Its readers stay, and its file is there until the next one replaces it.
                await running.rotation.withdraw(successor)
        for session in wanted.values():
            if session.id not in self._running:
                self._begin(session, tasks)

    def _begin(self, settings: SessionSettings, tasks: TaskGroup) -> Rotation:
        running = _Running(settings, self._start(settings))
        self._running[settings.id] = running
        tasks.start_soon(self._run, running, name=f"session {settings.id}")
        return running.rotation

    async def _run(self, running: _Running) -> None:
        try:
            with running.scope:
                await running.rotation.run()
        finally:
            running.ended.set()

    async def _end(self, running: _Running) -> None:
        running.scope.cancel()
        await running.ended.wait()
        del self._running[running.settings.id]
        self._board.drop_session(running.settings.id)
