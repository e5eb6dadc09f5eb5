"""One place that reports repeated failures: log lines, alarm, recovery."""

from datetime import UTC, datetime

import pytest
from boards import empty_board
from structlog.testing import capture_logs

from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.errors import StorageError
from rensei_daemon.failure_reporter import FailureReporter


@pytest.fixture
def board() -> Board:
    """The board of a daemon that has just started."""
    return empty_board()


def test_a_failure_and_its_recovery(board: Board) -> None:
    """The 1st and the 10th failure are warnings, the rest debug; one line ends the row."""
    reporter = FailureReporter(board=board, subject="status", clock=lambda: 7.0)
    full = StorageError("the disk is full", hint="make room")
    with capture_logs() as logged:
        for _ in range(10):
            reporter.report_error("status.not_written", full, alarm=Code.STORAGE)
        alarm = board.alarms[Code.STORAGE, "status"]
        reporter.report_recovery("status.recovered")
    assert (alarm.message, alarm.hint) == ("the disk is full", "make room")
    assert not board.alarms
    levels = [line["log_level"] for line in logged]
    assert levels == ["warning", *["debug"] * 8, "warning", "info"]
    assert logged[0] == {
        "event": "status.not_written",
        "log_level": "warning",
        "error": "the disk is full",
        "hint": "make room",
        "count": 1,
    }
    assert logged[-1] == {
        "event": "status.recovered",
        "log_level": "info",
        "count": 10,
        "seconds": 0.0,
    }


def test_only_own_alarms_are_cleared(board: Board) -> None:
    """An alarm that something else raised stays; of its own, one may be kept."""
    now = datetime.now(UTC)
    board.raise_alarm(Code.STORAGE, "full", hint="", now=now, subject="heartbeat")
    reporter = FailureReporter(board=board, subject="heartbeat")
    reporter.raise_alarm(Code.FORBIDDEN, "403", hint="")
    reporter.raise_alarm(Code.UNAUTHORIZED, "401", hint="")
    reporter.clear_alarms(
        Code.STORAGE, Code.FORBIDDEN, Code.UNAUTHORIZED, but=Code.FORBIDDEN
    )
    assert set(board.alarms) == {
        (Code.STORAGE, "heartbeat"),
        (Code.FORBIDDEN, "heartbeat"),
    }
    reporter.report_recovery()
    assert set(board.alarms) == {(Code.STORAGE, "heartbeat")}


def test_it_is_quiet_once_it_was_told() -> None:
    """A failure that comes and goes within the calm seconds is logged once."""
    reporter = FailureReporter(calm_seconds=60, clock=lambda: 7.0)
    assert not reporter.is_quiet
    reporter.report_failure("stream.lost")
    assert not reporter.is_quiet
    reporter.report_recovery("stream.recovered")
    reporter.report_failure("stream.lost")
    assert reporter.is_quiet
