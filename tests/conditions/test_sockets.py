"""What becomes of the sockets, on the board and in the log."""

from boards import empty_board
from structlog.testing import capture_logs

from rensei_daemon.conditions.sockets import report_metrics_state, report_socket_state
from rensei_daemon.core.conditions import Code
from rensei_daemon.errors import SettingsError, StateInUseError


async def test_a_socket_that_cannot_be_bound_again_is_an_error_until_it_is() -> None:
    """It is logged once, with what to do."""
    board = empty_board()
    tell = report_socket_state(board, "credential socket")
    with capture_logs() as logs:
        for _ in range(2):
            tell(StateInUseError("another process serves it", hint="see which"))
        (alarm,) = board.alarms.values()
        assert (alarm.code, alarm.message, alarm.hint) == (
            Code.STORAGE,
            "the file of the credential socket is gone: another process serves it",
            "see which",
        )
        tell(None)
    assert board.alarms == {}
    assert [(event["event"], event["log_level"]) for event in logs] == [
        ("socket.not_restored", "warning"),
        ("socket.not_restored", "debug"),
        ("socket.restored", "warning"),
    ]


async def test_metrics_that_are_not_served_are_a_condition_until_they_are() -> None:
    """It is logged once, with what to do, and says where they are served in the end."""
    board = empty_board()
    tell = report_metrics_state(board, "127.0.0.1:9464")
    with capture_logs() as logs:
        for _ in range(2):
            tell(SettingsError("the port is taken", hint="see by which"))
        (alarm,) = board.alarms.values()
        assert (alarm.code, alarm.message, alarm.hint) == (
            Code.METRICS_NOT_SERVED,
            "the port is taken",
            "see by which",
        )
        tell(None)
    assert board.alarms == {}
    assert [(event["event"], event["log_level"]) for event in logs] == [
        ("metrics.not_served", "warning"),
        ("metrics.not_served", "debug"),
        ("metrics.served", "info"),
    ]
