"""A reload: reads the file, the API key and the client certificate again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from rensei_daemon.core.board import Board
from rensei_daemon.errors import SettingsError
from rensei_daemon.platform_api.api_key import ActiveApiKey
from rensei_daemon.systemd import Notifier
from rensei_daemon.tasks.configuration import Configuration, Reload, reload
from rensei_daemon.tasks.sessions import Sessions
from rensei_daemon.wake_event import WakeEvent

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reloader:
    """Reloads for an operator, SIGHUP and the service manager."""

    configuration: Configuration
    board: Board
    key: ActiveApiKey
    reread_certificate: Callable[[], Awaitable[bool]]
    sessions: Sessions
    beat: WakeEvent
    notifier: Notifier

    async def __call__(self) -> Reload:
        """Read everything again; raise `SettingsError` for what cannot be used.

        The file comes first, because it may name another key file. The others are read even
        if the file is broken, because they may have to be replaced at that time.
        """
        self.notifier.reloading()
        try:
            done, *refusals = await self._reload()
            for reread in (self._reread_key, self._reread_certificate):
                try:
                    if what := await reread():
                        done = done.with_renewed(what)
                        self._retry_now()
                except SettingsError as error:
                    refusals.append(error)
            await self.sessions.check_deliveries(until_tried=True)
        finally:
            self.notifier.ready()
        if refusals:
            raise refusals[0]
        return done

    async def _reload(self) -> tuple[Reload] | tuple[Reload, SettingsError]:
        try:
            return (await reload(self.configuration, self.board),)
        except SettingsError as error:
            return Reload(), error

    async def _reread_key(self) -> str | None:
        """Return the name of what is new; None if nothing is."""
        try:
            return "the API key" if await self.key.reread() else None
        except SettingsError as error:
            _log.warning("key.not_read", error=str(error), hint=error.hint)
            raise

    async def _reread_certificate(self) -> str | None:
        try:
            is_another = await self.reread_certificate()
            return "the client certificate" if is_another else None
        except SettingsError as error:
            _log.warning("certificate.not_read", error=str(error), hint=error.hint)
            raise

    def _retry_now(self) -> None:
        """Retry at once what may have waited for this."""
        self.beat.set()
        for rotation in self.sessions.rotations:
            rotation.retry_now()
