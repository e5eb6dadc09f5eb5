"""Runs exactly the sessions of the configuration in force."""

from collections.abc import Callable
from functools import partial

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.scrub import Fingerprints
from rensei_daemon.core.session_report import SessionReport, report_session
from rensei_daemon.errors import SettingsError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.settings.configuration import Configuration
from rensei_daemon.settings.values import Session as SessionSettings
from rensei_daemon.tasks.rotation import Rotation
from rensei_daemon.wake_event import WakeEvent

_log = structlog.get_logger()


@dataclass
class _Running:
    """One running session."""

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
        """`start` creates a session's rotation; it may raise `SettingsError`."""
        self._configuration = configuration
        self._board = board
        self._start = start
        self._running: dict[str, _Running] = {}
        self._failures = dict[str, FailureReporter]()
        self._is_started = False
        self._begin: anyio.Event | None = None

    @property
    def rotations(self) -> tuple[Rotation, ...]:
        """The rotations that run."""
        return tuple(running.rotation for running in self._running.values())

    def report(self, fingerprints: Fingerprints) -> list[SessionReport]:
        """Return a report of every session, sorted by id."""
        rotations = sorted(self.rotations, key=lambda rotation: rotation.session.id)
        return [
            report_session(
                rotation.session.id,
                rotation.credentials,
                changed_at=rotation.changes.at,
                refreshed_at=rotation.refreshed_at,
                error=str(rotation.snapshot_error) if rotation.snapshot_error else None,
                consumers=rotation.session_deliveries.consumers,
                fingerprints=fingerprints,
                clock_ahead=CLOCK.ahead(),
            )
            for rotation in rotations
        ]

    def platform_recovered(self) -> None:
        """Let every session retry at once what failed while the platform was down."""
        for rotation in self.rotations:
            rotation.platform_recovered()

    def retry_now(self) -> None:
        """Let every session retry at once, whatever it waits for."""
        for rotation in self.rotations:
            rotation.retry_now()

    def refresh(self) -> None:
        """Show the consumers of every session as they are now."""
        for rotation in self.rotations:
            rotation.refresh()

    async def check_deliveries(self, *, until_tried: bool = False) -> None:
        """Check the deliveries of all sessions, as `SessionDeliveries.check` does."""
        async with anyio.create_task_group() as checks:
            for rotation in self.rotations:
                checks.start_soon(
                    partial(rotation.session_deliveries.check, until_tried=until_tried)
                )

    async def run(
        self,
        begin: anyio.Event | None = None,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Start and end sessions as the configuration changes; never return.

        It counts as started when every session of the first configuration exists; none
        sends a request before `begin`.
        """
        self._begin = begin
        changed = WakeEvent()
        self._configuration.on_change(changed.set)
        async with anyio.create_task_group() as tasks:
            await self._reconcile(tasks)
            self._is_started = True
            task_status.started()
            while True:
                await changed.wait()
                await self._reconcile(tasks)

    async def _reconcile(self, tasks: TaskGroup) -> None:
        credentials = self._configuration.settings.credentials
        wanted = {session.id: session for session in credentials.resolved_sessions}
        begun = {
            id_: rotation
            for id_, settings in wanted.items()
            if self._is_news(settings)
            # If a session cannot be started, its previous rotation keeps running.
            and (rotation := self._try_start(settings)) is not None
        }
        gone = [id_ for id_ in self._running if id_ in begun or id_ not in wanted]
        before = {id_: self._running[id_] for id_ in gone}
        for running in before.values():
            await self._end(running)
        # Of all sessions together: a file may move from one session to another.
        kept = {
            name
            for rotation in begun.values()
            for name in rotation.session_deliveries.names
        }
        for id_, running in before.items():
            await running.rotation.withdraw(kept, is_over=id_ not in begun)
            self._board.drop_session(id_)
            if id_ not in wanted:
                _log.info("session.ended", session_id=id_)
        for id_, rotation in begun.items():
            if id_ not in before:
                _log.info("session.started", session_id=id_)
            running = _Running(wanted[id_], rotation)
            self._running[id_] = running
            rotation.refresh()  # status names it before it has sent anything
            tasks.start_soon(self._run, running, name=f"session {id_}")

    def _is_news(self, settings: SessionSettings) -> bool:
        running = self._running.get(settings.id)
        return running is None or running.settings != settings

    def _try_start(self, settings: SessionSettings) -> Rotation | None:
        """Create a session's rotation; report a failure and return None once started."""
        id_ = settings.id
        try:
            rotation = self._start(settings)
        except SettingsError as error:
            if not self._is_started:
                raise
            if id_ not in self._failures:
                self._failures[id_] = FailureReporter(board=self._board, subject=id_)
            self._failures[id_].report_error(
                "session.refused",
                error,
                alarm=Code.DELIVERY_FAILED,
                message=f"session {id_}: {error}",
                session_id=id_,
            )
            return None
        if failures := self._failures.pop(id_, None):
            failures.report_recovery("session.recovered", session_id=id_)
        return rotation

    async def _run(self, running: _Running) -> None:
        try:
            with running.scope:
                if self._begin is not None:
                    await self._begin.wait()
                await running.rotation.run()
        finally:
            running.ended.set()

    async def _end(self, running: _Running) -> None:
        running.scope.cancel()
        await running.ended.wait()
        del self._running[running.settings.id]
