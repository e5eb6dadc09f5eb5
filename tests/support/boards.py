"""A board with nothing on it."""

from datetime import UTC, datetime

from rensei_daemon.core.board import Board
from rensei_daemon.core.health import ConfigLine, HeartbeatLine, WorkerLine


def empty_board() -> Board:
    """Return the board of a daemon that has just been started."""
    return Board(
        version="1",
        pid=1,
        started_at=datetime.now(UTC),
        config=ConfigLine(path="/c", digest="d"),
        worker=WorkerLine(platform_url="http://127.0.0.1"),
        heartbeat=HeartbeatLine(interval_seconds=30),
    )
