"""When a failure that repeats is logged."""

from rensei_daemon.core.failure_log import FailureStreak, Recovered


def told(streak: FailureStreak, times: range, *, text: str = "down") -> list[int]:
    """Fail once a second, and return the counts at which that was logged."""
    return [streak.count for now in times if streak.fail(float(now), text)]


def test_first_tenth_hundredth_then_every_five_minutes() -> None:
    """A thousand failures, one a second, are six lines."""
    assert told(FailureStreak(), range(1, 1001)) == [1, 10, 100, 400, 700, 1000]


def test_rare_failures() -> None:
    """Before the hundredth, five minutes alone log nothing; after it each is logged."""
    assert told(FailureStreak(), range(0, 300 * 104, 300)) == [
        1,
        10,
        100,
        101,
        102,
        103,
        104,
    ]


def test_recovery() -> None:
    """It is logged once, with count and time; then the next failure is a first one."""
    streak = FailureStreak()
    told(streak, range(100, 112))
    assert streak.recover(112.04) == Recovered(count=12, seconds=12.0)
    assert streak.recover(113) is None
    assert told(streak, range(113, 115)) == [1]
    assert streak.recover(115) == Recovered(count=2, seconds=2.0)


def test_nothing_to_recover_from() -> None:
    """What never failed has not recovered."""
    assert FailureStreak().recover(1) is None


def test_another_cause() -> None:
    """A new text in a streak is logged at once, and does not reset the count."""
    streak = FailureStreak()
    assert told(streak, range(3), text="no route") == [1]
    assert told(streak, range(3, 6), text="refused") == [4]
    assert told(streak, range(6, 9), text="no route") == []
    assert streak.recover(9) == Recovered(count=9, seconds=9.0)


def test_text_that_always_changes() -> None:
    """A detail that is another each time does not defeat the policy."""
    streak = FailureStreak()
    counts = [n for n in range(1, 1001) if streak.fail(float(n), f"took {n} ms")]
    assert counts == [1, 2, 3, 4, 5, 10, 100, 400, 700, 1000]


def test_new_texts_after_a_recovery() -> None:
    """Texts count as new again in a new streak."""
    streak = FailureStreak(most_texts=1)
    assert told(streak, range(2)) == [1]
    streak.recover(2)
    assert told(streak, range(3, 5), text="other") == [1]


def test_coming_and_going() -> None:
    """What works for less than the calm goes on as one trouble, also in the log."""
    streak = FailureStreak(calm_seconds=60)
    failed, recovered = [], []
    for second in range(0, 4000, 20):
        if streak.fail(float(second)):
            failed.append(streak.count)
        if over := streak.recover(second + 10.0):
            recovered.append(over)
    assert failed == [1, 10, 100, 115, 130, 145, 160, 175, 190]
    assert recovered[:3] == [
        Recovered(1, 10.0),
        Recovered(10, 190.0),
        Recovered(100, 1990.0),
    ]
    assert [over.count for over in recovered] == failed


def test_events_that_are_over_at_once() -> None:
    """Only the calm time ends their streak, since each recovers at once."""
    streak = FailureStreak(calm_seconds=60)

    def happen(now: float) -> bool:
        should_log = streak.fail(now)
        streak.recover(now)
        return should_log

    assert [s for s in range(0, 400, 10) if happen(s)] == [0, 90]
    assert happen(390 + 60)
    assert streak.count == 1


def test_calm() -> None:
    """What has worked for the calm fails for the first time again."""
    streak = FailureStreak(calm_seconds=60)
    assert told(streak, range(3)) == [1]
    streak.recover(10)
    assert told(streak, range(69, 70)) == []
    streak.recover(70)
    assert told(streak, range(130, 133)) == [1]


def test_a_streak_says_whether_it_fails() -> None:
    """From the first failure to the next success."""
    streak = FailureStreak()
    states = [streak.is_failing]
    streak.fail(0.0, "down")
    states.append(streak.is_failing)
    streak.recover(1.0)
    assert [*states, streak.is_failing] == [False, True, False]
