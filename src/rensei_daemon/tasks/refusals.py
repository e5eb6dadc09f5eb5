"""What the platform refuses a session, as the log and the board tell it."""

from datetime import UTC, datetime

from structlog.typing import FilteringBoundLogger

from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.errors import (
    PlatformError,
    RefusedError,
    UnauthorizedError,
)

_CODES = (Code.UNAUTHORIZED, Code.FORBIDDEN)


class Refusals:
    """The refusals of one session, by lane: `snapshot` and `stream`."""

    def __init__(self, session_id: str, board: Board, log: FilteringBoundLogger) -> None:
        self._session_id = session_id
        self._board = board
        self._log = log
        self._said: dict[str, str] = {}
        """What each lane last failed with."""

    def note(self, lane: str, error: PlatformError) -> None:
        """Log a failure, once for as long as it stays the same, and raise its alarm."""
        log = self._log.debug if self._said.get(lane) == str(error) else self._log.warning
        log(f"{lane}.failed", error=str(error), hint=error.hint)
        self._said[lane] = str(error)
        code = _code_for(error)
        if code is not None:
            self._board.raise_alarm(
                code,
                f"session {self._session_id}: {error}",
                hint=error.hint,
                now=datetime.now(UTC),
                subject=self._subject(lane),
            )

    def clear(self, lane: str) -> None:
        """Note that the platform lets the lane pass again."""
        if self._said.pop(lane, None) is not None:
            self._log.info(f"{lane}.recovered")
        for code in _CODES:
            self._board.clear(code, self._subject(lane))

    def _subject(self, lane: str) -> str:
        return f"{self._session_id}:{lane}"


def has_nothing(error: PlatformError | None) -> bool:
    """Whether the platform knows no such thing: there is no use in asking often."""
    return isinstance(error, RefusedError) and error.status in (204, 404)


def _code_for(error: PlatformError) -> Code | None:
    match error:
        case UnauthorizedError():
            return Code.UNAUTHORIZED
        case RefusedError(status=403):
            return Code.FORBIDDEN
        case _:
            return None
