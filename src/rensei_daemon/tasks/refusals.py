"""What the platform refuses a session, as the log and the board tell it."""

from datetime import UTC, datetime

from structlog.typing import FilteringBoundLogger

from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.errors import (
    PlatformError,
    RefusedError,
    TransientError,
    UnauthorizedError,
)

_CODES = (Code.UNAUTHORIZED, Code.FORBIDDEN)


class Refusals:
    """The refusals of one session, by lane: `snapshot` and `stream`."""

    def __init__(self, session_id: str, board: Board, log: FilteringBoundLogger) -> None:
        self._session_id = session_id
        self._board = board
        self._log = log

    def note(self, lane: str, error: PlatformError) -> None:
        """Log a failure, a lasting refusal only once, and raise its alarm."""
        is_news = not any(
            (code, self._subject(lane)) in self._board.alarms for code in _CODES
        )
        if isinstance(error, TransientError) or is_news:
            self._log.warning(f"{lane}.failed", error=str(error), hint=error.hint)
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
        for code in _CODES:
            self._board.clear(code, self._subject(lane))

    def _subject(self, lane: str) -> str:
        return f"{self._session_id}:{lane}"


def _code_for(error: PlatformError) -> Code | None:
    match error:
        case UnauthorizedError():
            return Code.UNAUTHORIZED
        case RefusedError(status=403):
            return Code.FORBIDDEN
        case _:
            return None
