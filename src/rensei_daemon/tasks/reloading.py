"""A reload: the file and the API key read again, whatever becomes of either."""

from dataclasses import dataclass

import structlog

from rensei_daemon.core.board import Board
from rensei_daemon.errors import SettingsError
from rensei_daemon.platform_api.key import KeyInUse
from rensei_daemon.systemd import Notifier
from rensei_daemon.tasks.bell import Bell
from rensei_daemon.tasks.configuration import Configuration, Reload, reload
from rensei_daemon.tasks.sessions import Sessions

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reloading:
    """What an operator, SIGHUP and the service manager ask for."""

    configuration: Configuration
    board: Board
    key: KeyInUse
    sessions: Sessions
    beat: Bell
    notifier: Notifier

    async def __call__(self) -> Reload:
        """Read both again; raises `SettingsError` for what cannot be used.

        The file comes first, for it may name another key file; and the key is read also
        when the file is broken, for it may have to be replaced just then.
        """
        self.notifier.reloading()
        try:
            done, refusal = await self._reload()
            has_new_key = await self._reread_key()
        finally:
            self.notifier.ready()
        if refusal is not None:
            raise refusal
        return done.with_key() if has_new_key else done

    async def _reload(self) -> tuple[Reload, SettingsError | None]:
        try:
            return await reload(self.configuration, self.board), None
        except SettingsError as error:
            return Reload(), error

    async def _reread_key(self) -> bool:
        try:
            is_another = await self.key.reread()
        except SettingsError as error:
            _log.warning("key.not_read", error=str(error), hint=error.hint)
            raise
        if is_another:
            self.beat.ring()
            for rotation in self.sessions.rotations:
                rotation.hurry()
        return is_another
