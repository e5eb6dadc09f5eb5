"""Counting, and timing."""

from rensei_daemon.core.counters import (
    BUCKET_SECONDS,
    EventCounter,
    Histogram,
    SessionCounters,
)


def test_a_tally_counts_each_sort_apart() -> None:
    """Kinds differ if any of their words differ, and are sorted."""
    counter = EventCounter()
    for sort in (("b", "x"), ("a", "y"), ("b", "x")):
        counter.increment(*sort)
    assert list(counter) == [(("a", "y"), 1), (("b", "x"), 2)]


def test_durations_fall_into_the_buckets_that_hold_them() -> None:
    """A bucket holds what took at most its seconds; what took longest is in none."""
    durations = Histogram()
    for seconds in (0.0, 0.001, 0.0011, 60.0, 61.0):
        durations.observe(seconds)
    up_to = dict(durations.cumulative_buckets)
    assert (up_to[0.001], up_to[0.0025], up_to[30.0], up_to[60.0]) == (2, 3, 3, 4)
    assert tuple(up_to) == BUCKET_SECONDS
    assert durations.count == 5
    assert durations.total_seconds == 0.001 + 0.0011 + 60.0 + 61.0


def test_a_delivery_is_counted_and_timed() -> None:
    """By session and kind the one, by kind alone the other."""
    counters = SessionCounters()
    counters.observe_delivery("build", "hook", 0.2)
    counters.observe_delivery("nightly", "hook", 0.3)
    assert list(counters.deliveries) == [
        (("build", "hook", "ok"), 1),
        (("nightly", "hook", "ok"), 1),
    ]
    assert counters.durations["hook"].count == 2
