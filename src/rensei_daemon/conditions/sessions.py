"""Reports what fails between a session and the platform: log lines and alarms.

Repeated failures are logged as `core.failure_log` decides. A refusal that somebody must act
on also raises an alarm, which is cleared when snapshot or stream succeeds again.
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
    """The failures of one session's snapshots and of its stream."""

    def __init__(self, session_id: str, board: Board, *, calm_seconds: float) -> None:
        """Count a stream as recovered when it has been open for `calm_seconds`."""
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
        """Report that a snapshot failed."""
        self._snapshot.report_error("snapshot.failed", error)
        self._update_alarms(self._snapshot, error)

    def snapshot_came(self) -> None:
        """Report that a snapshot succeeded."""
        self._snapshot.report_recovery("snapshot.recovered")

    def stream_connected(self) -> None:
        """Report that the stream is open."""
        # A stream that comes and goes is not logged each time, in either direction.
        log = self._log.debug if self._stream.is_quiet else self._log.info
        log("stream.connected")
        self._stream.report_recovery("stream.recovered")

    def stream_ended(self, error: PlatformError | None, *, seconds: float | None) -> None:
        """Report that the stream ended after so many seconds; None: it could not be opened.

        Without an error, it was closed because of its age.
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
        """Report an event that could not be understood."""
        self._events.report_event("stream.event_not_understood", reason, reason=reason)

    def _update_alarms(self, failures: FailureReporter, error: PlatformError) -> None:
        code = _code_for(error)
        if code is not None or isinstance(error, RefusedError):
            failures.clear_alarms(but=code)  # the earlier refusals are no longer true
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
