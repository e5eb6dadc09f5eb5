"""What goes wrong between a session and the platform, as log and board tell it.

A lane that fails again and again is told by the policy of `core.failure_log`; refusals that
somebody must act on raise an alarm besides, which goes when the lane passes again.
"""

import structlog

from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.errors import (
    Failure,
    PlatformError,
    RefusedError,
    TransientError,
    UnauthorizedError,
)
from rensei_daemon.failure_reporter import FailureReporter


class SessionFailures:
    """The failures of one session's two lanes, `snapshot` and `stream`."""

    def __init__(self, session_id: str, board: Board, *, calm_seconds: float) -> None:
        """Have a stream count as recovered once it was up for `calm_seconds`."""
        self._session_id = session_id
        self._log = structlog.get_logger().bind(session_id=session_id)
        self._snapshot = FailureReporter(
            self._log, board=board, subject=f"{session_id}:snapshot"
        )
        self._stream = FailureReporter(
            self._log,
            board=board,
            subject=f"{session_id}:stream",
            calm_seconds=calm_seconds,
        )
        self._events = FailureReporter(self._log, calm_seconds=calm_seconds)

    def snapshot_failed(self, error: PlatformError) -> None:
        """Note that the platform gave none."""
        self._snapshot.report_error("snapshot.failed", error)
        self._update_alarms(self._snapshot, error)

    def snapshot_came(self) -> None:
        """Note that one came."""
        self._snapshot.report_recovery("snapshot.recovered")

    def stream_connected(self) -> None:
        """Note that a stream is open."""
        # A stream that comes and goes is not logged each time, in either direction.
        log = self._log.debug if self._stream.is_quiet else self._log.info
        log("stream.connected")
        self._stream.report_recovery("stream.recovered")

    def stream_ended(self, error: PlatformError | None, *, seconds: float | None) -> None:
        """Note that it ended after so many seconds, or (None) could not be opened.

        Without an error it was old enough.
        """
        if error is None:
            self._log.info("stream.retired")
            return
        if seconds is None:
            self._stream.report_error("stream.failed", error)
        else:
            self._stream.report_error("stream.lost", error, seconds=round(seconds, 1))
        self._update_alarms(self._stream, error)

    def event_not_understood(self, reason: str) -> None:
        """Note an event of a stream that means nothing to us."""
        self._events.report_event("stream.event_not_understood", reason, reason=reason)

    def _update_alarms(self, failures: FailureReporter, error: PlatformError) -> None:
        code = _code_for(error)
        if code is not None or isinstance(error, RefusedError):
            failures.clear_alarms(but=code)  # it answers, and no longer says what it said
        if code is not None:
            message = f"session {self._session_id}: {error}"
            failures.raise_alarm(code, message, hint=error.hint)


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
