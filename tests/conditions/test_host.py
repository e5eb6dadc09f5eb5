"""The conditions of this host, while somebody sets its clock."""

from datetime import UTC, datetime, timedelta

import pytest
from boards import empty_board

from rensei_daemon.clock import Clock
from rensei_daemon.conditions.host import post_pool
from rensei_daemon.settings.values import Pool


def test_a_pool_is_as_old_as_it_was_when_the_clock_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each heartbeat posts it; its time in the file is of the clock before."""
    since = datetime(2026, 11, 23, 16, tzinfo=UTC)
    wall = [since]
    clock = Clock(wall=lambda: wall[0])
    monkeypatch.setattr("rensei_daemon.conditions.host.CLOCK", clock)
    board = empty_board()
    pool = Pool(status="deleted", id="pool_a", since=since)
    post_pool(board, pool, None)
    before = board.pool.since
    wall[0] += timedelta(days=400)
    post_pool(board, pool, None)
    assert before is not None
    assert board.pool.since == before
    assert abs(clock.now() - before) < timedelta(minutes=1)
