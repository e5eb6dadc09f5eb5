"""When the next heartbeat is due."""

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
    pace = HeartbeatPace(middle)
    assert [pace.failed(0.0, 30.0) for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert retry_seconds(10_000, 30.0, middle) == 30


def test_a_wait_that_the_platform_asks_for_is_never_cut_short() -> None:
    """Up to a fifth is added, so that not every host returns in the same second."""
    assert HeartbeatPace(lowest).failed(0.0, 30.0, 100.0) == 100
    assert HeartbeatPace(highest).failed(0.0, 30.0, 100.0) == 120
