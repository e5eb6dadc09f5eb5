"""When a snapshot is due, and why."""

from rensei_daemon.core.snapshot_schedule import (
    WHY,
    RequestedSnapshot,
    SnapshotIntervals,
    SnapshotReason,
    SnapshotSchedule,
)


def most(low: float, high: float) -> float:
    """Draw the latest time."""
    return high


def started(pace: SnapshotIntervals | None = None) -> SnapshotSchedule:
    """Return a schedule at 0 s whose first snapshot has come, good for an hour."""
    schedule = SnapshotSchedule(pace or SnapshotIntervals(), most, 0.0)
    assert schedule.begin(0.0) is SnapshotReason.START
    schedule.succeed(0.0, 3600, is_news=True)
    return schedule


def live() -> SnapshotSchedule:
    """Return one whose stream is live, and whose connect has been seen to."""
    schedule = started()
    schedule.stream_connected(0.0)
    assert schedule.begin(0.0) is SnapshotReason.CONNECT
    schedule.succeed(0.0, 3600, is_news=False)
    schedule.stream_is_live()
    return schedule


def taken(
    schedule: SnapshotSchedule, now: float, *, is_news: bool = False
) -> SnapshotReason:
    """Take one."""
    reason = schedule.begin(now)
    schedule.succeed(now, 3600, is_news=is_news)
    return reason


def test_a_session_begins_with_one() -> None:
    """Due at once, and wanted until it has come."""
    schedule = SnapshotSchedule(SnapshotIntervals(), most, 5.0)
    assert schedule.wait_seconds(5.0) == 0
    assert schedule.requested == RequestedSnapshot(SnapshotReason.START, 5.0)
    schedule.begin(6.0)
    assert schedule.requested == RequestedSnapshot(SnapshotReason.START, 5.0)
    schedule.succeed(7.0, 3600, is_news=True)
    assert schedule.requested is None


def test_it_polls_until_the_first_byte_of_a_stream() -> None:
    """A stream that is open and silent proves nothing."""
    schedule = started()
    assert schedule.wait_seconds(0.0) == 60
    schedule.stream_connected(10.0)
    assert taken(schedule, 10.0) is SnapshotReason.CONNECT
    assert schedule.wait_seconds(10.0) == 60
    assert taken(schedule, 70.0) is SnapshotReason.POLL
    schedule.stream_is_live()
    assert schedule.wait_seconds(70.0) == 3600
    assert taken(schedule, 3670.0) is SnapshotReason.REFRESH


def test_it_polls_less_once_the_stream_is_down_for_long() -> None:
    """Every five minutes after ten, and at once where the platform has no stream."""
    schedule = live()
    schedule.stream_lost(1000.0)
    assert taken(schedule, 1001.0) is SnapshotReason.LOSS
    assert schedule.wait_seconds(1001.0) == 60
    assert taken(schedule, 1601.0) is SnapshotReason.POLL
    assert schedule.wait_seconds(1601.0) == 300
    other = started()
    other.stream_refused()
    assert taken(other, 60.0) is SnapshotReason.POLL
    assert other.wait_seconds(60.0) == 300


def test_a_loss_has_one_taken_within_a_second() -> None:
    """Whether it was live or silent; the snapshot of the next stream replaces it."""
    schedule = live()
    schedule.stream_lost(100.0)
    assert round(schedule.wait_seconds(100.0), 3) == 0.9
    schedule.stream_lost(100.3)  # again: the first one's time stands
    assert round(schedule.wait_seconds(100.3), 3) == 0.6
    schedule.stream_connected(100.4)
    assert schedule.wait_seconds(100.4) == 0
    assert taken(schedule, 100.4) is SnapshotReason.CONNECT
    assert schedule.wait_seconds(100.4) > 50
    schedule.stream_lost(101.0)  # silent so far
    assert round(schedule.wait_seconds(101.0), 3) == 0.9


def test_events_ask_at_a_pace() -> None:
    """One at once, then 1, 2, 4 … 30 s apart while they bring nothing new."""
    schedule, now, times = live(), 100.0, []
    for _ in range(8):
        schedule.request(SnapshotReason.EVENT, now)
        now += schedule.wait_seconds(now)
        assert taken(schedule, now) is SnapshotReason.EVENT
        times.append(now - 100)
    assert times == [0, 1, 3, 7, 15, 31, 61, 91]


def test_something_new_sets_the_pace_back() -> None:
    """To one second, for every reason that events have."""
    for reason in (SnapshotReason.EVENT, SnapshotReason.ORDER, SnapshotReason.OVERTAKEN):
        schedule = live()
        for now, is_news in ((100.0, False), (101.0, False), (103.0, False), (107.0, True)):
            schedule.request(reason, now)
            assert schedule.wait_seconds(now) == 0
            taken(schedule, now, is_news=is_news)
        schedule.request(reason, 107.0)
        assert schedule.wait_seconds(107.0) == 1
        taken(schedule, 108.0)
        schedule.request(reason, 108.0)
        assert schedule.wait_seconds(108.0) == 1


def test_a_quiet_time_sets_the_pace_back() -> None:
    """What was noise an hour ago costs no delay now."""
    schedule = live()
    for now in (100.0, 101.0, 103.0, 107.0):
        schedule.request(SnapshotReason.EVENT, now)
        taken(schedule, now)
    schedule.request(SnapshotReason.EVENT, 200.0)
    assert schedule.wait_seconds(200.0) == 0
    taken(schedule, 200.0)
    schedule.request(SnapshotReason.EVENT, 200.0)
    assert schedule.wait_seconds(200.0) == 1


def test_the_pace_of_events_is_theirs_alone() -> None:
    """A connect, an operator and the age of the last one have their own times."""
    schedule = live()
    for now in (100.0, 101.0, 103.0):
        schedule.request(SnapshotReason.EVENT, now)
        taken(schedule, now)
    schedule.request(SnapshotReason.EVENT, 103.0)
    assert schedule.wait_seconds(103.0) == 4
    schedule.request(SnapshotReason.ASKED, 103.0)
    assert schedule.wait_seconds(103.0) == 0
    assert taken(schedule, 103.0) is SnapshotReason.ASKED
    schedule.stream_connected(103.1)
    assert schedule.wait_seconds(103.1) == 0


def test_one_that_is_taken_is_taken_for_all_reasons() -> None:
    """What waits for its pace is satisfied by any later one."""
    schedule = live()
    schedule.request(SnapshotReason.EVENT, 100.0)
    taken(schedule, 100.0)
    schedule.request(SnapshotReason.EVENT, 100.1)
    schedule.stream_connected(100.2)
    taken(schedule, 100.2)
    assert schedule.requested is None
    assert schedule.wait_seconds(100.2) > 3000


def test_one_sync_amid_rotations_does_not_feed_itself() -> None:
    """Every snapshot is overtaken, and changes nothing: four in seven seconds, not 45."""
    schedule, now, count = live(), 100.0, 0
    schedule.request(SnapshotReason.ASKED, now)
    while now <= 107:
        schedule.begin(now)
        count += 1
        schedule.succeed(now, 3600, is_news=False)
        schedule.request(SnapshotReason.OVERTAKEN, now)
        now += max(schedule.wait_seconds(now), 0.05)
    assert count <= 5


def test_a_failure_makes_everything_wait_but_an_operator() -> None:
    """A second for what is wanted, the drawn delay for the rest, and what was asked for."""
    schedule = live()
    schedule.request(SnapshotReason.EVENT, 100.0)
    schedule.begin(100.0)
    schedule.fail(100.0, 8.0, asked_seconds=0.0)
    assert schedule.wait_seconds(100.0) == 8
    schedule.stream_connected(100.0)
    assert schedule.wait_seconds(100.0) == 1
    schedule.begin(101.0)
    schedule.fail(101.0, 8.0, asked_seconds=5.0)
    schedule.stream_connected(101.0)
    assert schedule.wait_seconds(101.0) == 5
    schedule.request(SnapshotReason.ASKED, 101.0)
    assert schedule.wait_seconds(101.0) == 0


def test_a_retry_is_never_due_at_once() -> None:
    """Though no delay was drawn, and a poll was due."""
    schedule = started()
    schedule.begin(60.0)
    schedule.fail(60.0, 0.0, asked_seconds=0.0)
    assert schedule.wait_seconds(60.0) == 0.5
    assert schedule.begin(60.5) is SnapshotReason.RETRY


def test_what_is_wanted_stays_so_until_it_is_had() -> None:
    """The first reason counts, over failures and what came later."""
    schedule = live()
    schedule.request(SnapshotReason.ORDER, 100.0)
    schedule.begin(100.0)
    schedule.request(SnapshotReason.EVENT, 100.5)
    schedule.fail(101.0, 1.0, asked_seconds=0.0)
    assert schedule.requested == RequestedSnapshot(SnapshotReason.ORDER, 100.0)
    schedule.begin(102.0)
    assert schedule.requested == RequestedSnapshot(SnapshotReason.ORDER, 100.0)
    schedule.request(SnapshotReason.EVENT, 102.5)
    schedule.succeed(103.0, 3600, is_news=False)
    assert schedule.requested == RequestedSnapshot(SnapshotReason.EVENT, 102.5)


def test_one_that_was_due_by_the_clock_is_wanted_too() -> None:
    """From the time when it was due."""
    schedule = live()
    schedule.begin(3600.0)
    schedule.fail(3601.0, 1.0, asked_seconds=0.0)
    assert schedule.requested == RequestedSnapshot(SnapshotReason.REFRESH, 3600.0)


def test_lost_names_are_asked_for_again_within_a_minute() -> None:
    """Not at once: what took them may be over by then."""
    schedule = live()
    schedule.request(SnapshotReason.LOST_NAMES, 100.0)
    assert schedule.wait_seconds(100.0) == 60
    assert taken(schedule, 160.0) is SnapshotReason.LOST_NAMES


def test_every_reason_has_its_words() -> None:
    """But a retry, which is taken for another one."""
    assert WHY.keys() == set(SnapshotReason) - {SnapshotReason.RETRY}
