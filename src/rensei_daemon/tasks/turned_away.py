"""Readers that found no place at the credential socket, as a condition."""

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code

_log = structlog.get_logger()


def turned_away_on(board: Board) -> Callable[[str, str], None]:
    """Return what to tell of whose readers are turned away and why, or no longer (`""`)."""

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
            now=datetime.now(UTC),
            subject=whose,
        )

    return tell
