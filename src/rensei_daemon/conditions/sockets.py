"""Conditions of the sockets: a file that is gone, refused readers, a port that is taken."""

from collections.abc import Callable

import structlog

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.errors import RenseiError
from rensei_daemon.failure_reporter import FailureReporter

_log = structlog.get_logger()


def report_metrics_state(
    board: Board, listen: str | None
) -> Callable[[RenseiError | None], None]:
    """Return a callback for the address of the metrics: the error, or None if served."""
    failures = FailureReporter(board=board)

    def tell(error: RenseiError | None) -> None:
        if error is None:
            failures.report_recovery()
            _log.info("metrics.served", listen=listen)
            return
        failures.report_error(
            "metrics.not_served", error, alarm=Code.METRICS_NOT_SERVED, listen=listen
        )

    return tell


def report_refused_readers(board: Board) -> Callable[[str, str], None]:
    """Return a callback (owner of the readers, reason); reason `""`: not refused now."""

    def tell(whose: str, why: str) -> None:
        if not why:
            board.clear(Code.READERS_TURNED_AWAY, whose)
            return
        _log.warning("reader.turned_away", whose=whose, why=why)
        board.raise_alarm(
            Code.READERS_TURNED_AWAY,
            f"{whose} {why} at the credential socket; further readers are turned away",
            hint="see who has them: rensei-daemon credentials list; "
            "or raise LimitNOFILE= in the unit",
            now=CLOCK.now(),
            subject=whose,
        )

    return tell


def report_socket_state(board: Board, name: str) -> Callable[[RenseiError | None], None]:
    """Return a callback for a missing socket file: the error, or None if it is back."""
    failures = FailureReporter(board=board, subject=name)

    def tell(error: RenseiError | None) -> None:
        if error is None:
            failures.report_recovery()
            _log.warning("socket.restored", socket=name)
            return
        message = f"the file of the {name} is gone: {error}"
        failures.report_error(
            "socket.not_restored", error, alarm=Code.STORAGE, message=message, socket=name
        )

    return tell
