"""A board with nothing on it."""

from datetime import UTC, datetime

from rensei_daemon.core.board import Board
from rensei_daemon.core.health import ConfigHealth, HeartbeatHealth, WorkerHealth


def empty_board() -> Board:
    """Return the board of a daemon that has just been started."""
    return Board(
        version="1",
        pid=1,
        started_at=datetime.now(UTC),
        config=ConfigHealth(path="/c", digest="d"),
        worker=WorkerHealth(platform_url="http://127.0.0.1"),
        heartbeat=HeartbeatHealth(interval_seconds=30),
    )
