"""What goes wrong between a session and the platform, as log and board tell it.

A lane that fails again and again is told by the policy of `core.failure_log`; refusals that
somebody must act on raise an alarm besides, which goes when the lane passes again.
"""

import anyio
import structlog

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.failure_log import Streak
from rensei_daemon.errors import (
    Failure,
    PlatformError,
    RefusedError,
    TransientError,
    UnauthorizedError,
)

_CODES = (Code.UNAUTHORIZED, Code.FORBIDDEN, Code.TOO_LARGE, Code.ANSWER_OVERSIZED)


class Refusals:
    """The failures of one session's two lanes, `snapshot` and `stream`."""

    def __init__(self, session_id: str, board: Board, *, calm_seconds: float) -> None:
        """Have a stream count as recovered once it was up for `calm_seconds`."""
        self._session_id = session_id
        self._board = board
        self._log = structlog.get_logger().bind(session_id=session_id)
        self._snapshot = Streak()
        self._stream = Streak(calm_seconds=calm_seconds)
        self._events = Streak(calm_seconds=calm_seconds)

    def snapshot_failed(self, error: PlatformError) -> None:
        """Note that the platform gave none."""
        is_told = self._snapshot.fail(anyio.current_time(), str(error))
        log = self._log.warning if is_told else self._log.debug
        count = self._snapshot.count
        log("snapshot.failed", error=str(error), hint=error.hint, count=count)
        self._raise("snapshot", error)

    def snapshot_came(self) -> None:
        """Note that one came."""
        if over := self._snapshot.recover(anyio.current_time()):
            self._log.info("snapshot.recovered", count=over.count, seconds=over.seconds)
        self._clear("snapshot")

    def stream_connected(self) -> None:
        """Note that a stream is open."""
        was_failing = self._stream.is_failing
        over = self._stream.recover(anyio.current_time())
        # One that comes and goes is not told each time, in either direction.
        log = self._log.info if over or not was_failing else self._log.debug
        log("stream.connected")
        if over:
            self._log.info("stream.recovered", count=over.count, seconds=over.seconds)
        self._clear("stream")

    def stream_ended(self, error: PlatformError | None, *, seconds: float | None) -> None:
        """Note that it ended after so many seconds, or (None) could not be opened.

        Without an error it was old enough.
        """
        if error is None:
            self._log.info("stream.retired")
            return
        is_told = self._stream.fail(anyio.current_time(), str(error))
        log = self._log.warning if is_told else self._log.debug
        why, count = str(error), self._stream.count
        if seconds is not None:
            lived = round(seconds, 1)
            log("stream.lost", error=why, hint=error.hint, count=count, seconds=lived)
        else:
            log("stream.failed", error=why, hint=error.hint, count=count)
        self._raise("stream", error)

    def event_not_understood(self, reason: str) -> None:
        """Note an event of a stream that means nothing to us."""
        is_told = self._events.happen(anyio.current_time(), reason)
        log = self._log.warning if is_told else self._log.debug
        log("stream.event_not_understood", reason=reason, count=self._events.count)

    def _raise(self, lane: str, error: PlatformError) -> None:
        code = _code_for(error)
        if code is not None or isinstance(error, RefusedError):
            self._clear(lane, but=code)  # it answers, and no longer says what it said
        if code is not None:
            self._board.raise_alarm(
                code,
                f"session {self._session_id}: {error}",
                hint=error.hint,
                now=CLOCK.now(),
                subject=self._subject(lane),
            )

    def _clear(self, lane: str, *, but: Code | None = None) -> None:
        for code in _CODES:
            if code is but:
                continue
            self._board.clear(code, self._subject(lane))

    def _subject(self, lane: str) -> str:
        return f"{self._session_id}:{lane}"


def _code_for(error: PlatformError) -> Code | None:
    match error:
        case UnauthorizedError():
            return Code.UNAUTHORIZED
        case RefusedError(status=403):
            return Code.FORBIDDEN
        case TransientError(failure=Failure.TOO_LARGE):
            return Code.TOO_LARGE
        case TransientError(failure=Failure.OVERSIZED):
            return Code.ANSWER_OVERSIZED
        case _:
            return None
