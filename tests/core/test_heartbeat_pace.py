"""When the next heartbeat is due."""

import pytest

from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.heartbeat_pace import HeartbeatPace, retry_seconds


def lowest(low: float, high: float) -> float:
    """Draw the shortest wait."""
    return low


def middle(low: float, high: float) -> float:
    """Draw the wait between the two."""
    return (low + high) / 2


def highest(low: float, high: float) -> float:
    """Draw the longest wait."""
    return high


def test_each_heartbeat_is_an_interval_after_the_last_one() -> None:
    """With 10 % jitter, also after a refusal."""
    assert HeartbeatPace(lowest).succeeded(100.0, 30.0) == 127
    assert HeartbeatPace(highest).succeeded(100.0, 30.0) == 133
    assert HeartbeatPace(highest).refused(100.0, 30.0) == 133


def test_an_early_heartbeat_does_not_move_the_next_one() -> None:
    """However many there are; then the intervals go on."""
    pace = HeartbeatPace(middle)
    answered = (100.0, 103.0, 129.0, 130.5)
    assert [pace.succeeded(now, 30.0) for now in answered] == [130, 130, 130, 160.5]


def test_a_shorter_interval_takes_effect_at_once() -> None:
    """An early heartbeat may have brought it."""
    pace = HeartbeatPace(middle)
    assert [pace.succeeded(100.0, 30.0), pace.succeeded(103.0, 5.0)] == [130, 108]


def test_a_success_after_a_failure_begins_a_new_interval() -> None:
    """The platform was away: its hosts return spread over their retries."""
    pace = HeartbeatPace(middle)
    assert [pace.succeeded(100.0, 30.0), pace.failed(103.0, 30.0)] == [130, 104]
    assert pace.failures == 1
    assert pace.succeeded(104.0, 30.0) == 134
    assert pace.failures == 0


def test_a_dead_platform_is_asked_ever_less_often() -> None:
    """Delays double from half a second to the interval, with 50 % jitter."""
    waits = [retry_seconds(n, 30.0, middle, lasting=3600.0) for n in range(1, 9)]
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    assert retry_seconds(10_000, 30.0, middle, lasting=3600.0) == 30
    assert retry_seconds(10_000, 30.0, highest, lasting=3600.0) == 45


def test_no_wait_is_longer_than_half_of_the_outage() -> None:
    """A third, with 50 % jitter, and at least a second with the same jitter."""
    pace, now = HeartbeatPace(highest), 100.0
    waits = []
    while now < 400.0:
        due = pace.failed(now, 30.0)
        waits.append((now - 100.0, due - now))
        now = due
    assert all(wait <= max(1.5, lasting / 2) + 1e-9 for lasting, wait in waits)
    assert waits[-1][1] == 45


def test_a_new_outage_begins_with_short_waits() -> None:
    """However long the one before it was."""
    pace = HeartbeatPace(middle)
    for now in (0.0, 100.0, 200.0, 300.0):
        pace.failed(now, 30.0)
    pace.succeeded(310.0, 30.0)
    assert pace.failed(340.0, 30.0) == 341
    assert pace.failed(341.0, 30.0) == 342


@pytest.mark.parametrize("draw", [lowest, middle, highest])
def test_another_answer_ends_the_wait_of_a_retry(draw: Draw) -> None:
    """Within a second, at random; once."""
    pace = HeartbeatPace(draw)
    assert pace.hurry() is None
    pace.failed(100.0, 30.0)
    assert pace.hurry() == draw(0.0, 1.0)
    assert pace.hurry() is None


def test_another_answer_ends_no_wait_that_was_asked_for() -> None:
    """Neither by a Retry-After, nor by a refusal, nor after a success."""
    pace = HeartbeatPace(middle)
    pace.failed(100.0, 30.0)
    pace.failed(101.0, 30.0, asked=20.0)
    assert pace.hurry() is None
    pace.failed(121.0, 30.0)
    pace.refused(122.0, 30.0)
    assert pace.hurry() is None
    pace.failed(152.0, 30.0)
    pace.succeeded(153.0, 30.0)
    assert pace.hurry() is None


def test_where_all_but_heartbeats_are_answered_no_more_than_twice_as_many_are_sent() -> (
    None
):
    """A retry that was hurried and failed is followed by a wait that is not ended."""
    pace = HeartbeatPace(middle)
    for now in (0.0, 90.0):
        due = pace.failed(now, 30.0)
    assert due == 92
    assert pace.hurry() is not None
    pace.failed(90.5, 30.0)
    assert pace.hurry() is None
    pace.failed(94.5, 30.0)
    assert pace.hurry() is not None


def test_a_wait_that_the_platform_asks_for_is_never_cut_short() -> None:
    """Up to a fifth is added, so that not every host returns in the same second."""
    assert HeartbeatPace(lowest).failed(0.0, 30.0, 100.0) == 100
    assert HeartbeatPace(highest).failed(0.0, 30.0, 100.0) == 120
