"""The lowest level that is logged: the file's, or one that an operator has requested.

A requested level is in force until a restart, or until the level in the file changes. The
board shows it meanwhile, because a daemon left at `debug` fills a disk, and one left at
`error` logs too little when it matters.
"""

from collections.abc import Callable
from datetime import datetime

import structlog

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.board import Board
from rensei_daemon.core.health import LogHealth
from rensei_daemon.errors import UsageError
from rensei_daemon.logs.formatting import LEVELS
from rensei_daemon.logs.setup import LogControl

CHOICES = ("debug", "info", "warning", "error")
FROM_CONFIG = "config"
"""Requested instead of a level: return to the file's."""

_log = structlog.get_logger()


class LogLevel:
    """The level in force and the level of the file."""

    def __init__(
        self, control: LogControl, board: Board, *, configured: Callable[[], str]
    ) -> None:
        """Put nothing in force yet; `configured` returns the level of the file."""
        self._control, self._board = control, board
        self._read_configured = configured
        self._configured = configured()
        self._since: datetime | None = None
        self.post()

    @property
    def dropped(self) -> int:
        """Lines lost since the start."""
        return self._control.dropped

    def request(self, wanted: object, *, uid: int, pid: int) -> None:
        """Put a level in force, or the file's (`config`); raise `UsageError` for others."""
        if wanted not in (*CHOICES, FROM_CONFIG):
            raise UsageError(
                f"{wanted!r} is no log level", hint=f"{', '.join(CHOICES)} or {FROM_CONFIG}"
            )
        level = self._configured if wanted == FROM_CONFIG else str(wanted)
        was = self._begin(level)
        _log.info("log.level_changed", to=level, was=was, uid=uid, pid=pid)
        self._control.set_level(level)
        self.post()

    def post(self) -> None:
        """Show on the board the level in force and the lines lost."""
        level = self._control.level
        if level == self._configured:
            self._since = None
        self._board.post(
            LogHealth(
                level=level,
                configured_level=self._configured,
                since=self._since,
                dropped=self._control.dropped,
                dropped_since=self._control.dropped_since,
            )
        )

    def follow(self) -> None:
        """Put the level of the file in force if it has changed."""
        level = self._read_configured()
        if level != self._configured:
            self._configured = level
            was = self._begin(level)
            _log.info("log.level_changed", to=level, was=was, uid=None, pid=None)
            self._control.set_level(level)
        self.post()

    def _begin(self, level: str) -> str:
        """Return the previous level; let one event through at either level."""
        was = self._control.level
        self._since = CLOCK.now()
        self._control.set_level(min("info", was, level, key=LEVELS.__getitem__))
        return was
