"""Reads the configuration again: when its file has changed, and on request.

A request also reads the API key, the client certificate and the authorities again.
"""

from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
import structlog

from rensei_daemon.core.board import Board
from rensei_daemon.disk.config_file import Stamp
from rensei_daemon.errors import RenseiError, SettingsError, UncheckedError
from rensei_daemon.fast_dataclass import dataclass, replace
from rensei_daemon.long_work import run_in_thread
from rensei_daemon.platform_api.api_key import ActiveApiKey
from rensei_daemon.settings.configuration import Configuration
from rensei_daemon.settings.restart_required import RESTART_KEYS, changed_keys
from rensei_daemon.systemd import Notifier
from rensei_daemon.tasks.sessions import Sessions
from rensei_daemon.wake_event import WakeEvent

WATCH_SECONDS = 1.0
"""Every half a second, the look at the file was half of what a daemon at rest takes."""
STILL_SECONDS = 0.25
UNCHECKED_SECONDS = 10.0
"""The wait before another attempt when nobody could tell whether the file is valid."""

_log = structlog.get_logger()


async def watch(configuration: Configuration, board: Board) -> None:
    """Reload whenever the file has changed and nobody writes to it; never return."""
    seen: Stamp | None = None
    while True:
        stamp = configuration.file.stamp()  # one system call; a thread would cost more
        if stamp != seen:
            await anyio.sleep(STILL_SECONDS)
            if configuration.file.stamp() != stamp or await anyio.to_thread.run_sync(
                configuration.file.is_being_written
            ):
                continue
            seen = stamp
            try:
                await reload(configuration, board, anew=False)
            except UncheckedError:
                seen = None
                await anyio.sleep(UNCHECKED_SECONDS)
            except RenseiError:
                continue  # it is on the board and in the log
        await anyio.sleep(WATCH_SECONDS)


@dataclass(frozen=True, slots=True)
class Reload:
    """What a reload changed."""

    applied: tuple[str, ...] = ()
    """Keys whose new values are in effect."""
    needs_restart: tuple[str, ...] = ()
    """Keys whose values wait for a restart, also since an earlier reload."""

    def with_renewed(self, what: str) -> "Reload":
        """Return a copy that also names something else that was reloaded and is new."""
        return replace(self, applied=(what, *self.applied))


async def reload(
    configuration: Configuration, board: Board, *, anew: bool = True
) -> Reload:
    """Read the file and put it in force; raise `SettingsError` if it cannot be used.

    Unless `anew`, a text that is in force already is not validated again.
    """
    async with configuration.turn:
        return await _reload(configuration, board, anew=anew)


async def _reload(configuration: Configuration, board: Board, *, anew: bool) -> Reload:
    earlier = configuration.settings
    must_validate = anew or not board.config.valid
    read = configuration.read_anew if must_validate else configuration.read
    try:
        today = await run_in_thread(read)
    except RenseiError as error:
        configuration.log_refused(error)
        configuration.refuse(error, board)
        raise
    await configuration.adopt(today, board)
    changed = changed_keys(earlier, today.settings)
    return Reload(
        applied=tuple(key for key in changed if key not in RESTART_KEYS),
        needs_restart=configuration.awaiting_restart,
    )


@dataclass(frozen=True, slots=True)
class Reloader:
    """Reloads for an operator, SIGHUP and the service manager."""

    configuration: Configuration
    board: Board
    key: ActiveApiKey
    reread_certificate: Callable[[], Awaitable[bool]]
    reread_authorities: Callable[[], Awaitable[bool]]
    sessions: Sessions
    wake_heartbeat: WakeEvent
    notifier: Notifier

    async def __call__(self) -> Reload:
        """Read everything again; raise `SettingsError` for what cannot be used.

        The file comes first, because it may name another key file. The others are read even
        if the file is broken, because they may have to be replaced at that time.
        """
        self.notifier.reloading()
        try:
            done, *refusals = await self._reload()
            for reread in (
                self._reread_key,
                self._reread_certificate,
                self._reread_authorities,
            ):
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

    async def _reread_authorities(self) -> str | None:
        try:
            return "the trusted authorities" if await self.reread_authorities() else None
        except SettingsError as error:
            _log.warning("authorities.not_read", error=str(error), hint=error.hint)
            raise

    def _retry_now(self) -> None:
        """Retry at once what may have waited for this."""
        self.wake_heartbeat.set()
        self.sessions.retry_now()
