"""How long a stream that ended is waited for."""

import pytest

from rensei_daemon.core.reconnect import ReconnectPolicy, StreamEnd


def most(low: float, high: float) -> float:
    """Draw the longest wait."""
    return high


def waits(*ends: StreamEnd) -> list[float]:
    """Return the longest wait after each of these ends."""
    policy, found = ReconnectPolicy(), []
    for end in ends:
        wait, policy = policy.next(end, most)
        found.append(wait)
    return found


FAILED = StreamEnd()
SHORT = StreamEnd(lived_seconds=0.01, has_delivered=True)
CAPPED = StreamEnd(lived_seconds=20.0, has_delivered=True)


def test_each_wait_may_be_twice_the_last() -> None:
    """The first one a second at most, a minute in the end."""
    assert waits(*[FAILED] * 8) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_streams_that_a_gateway_ends_are_opened_again_at_once() -> None:
    """Each delivered something and outlived its wait: every wait is a first one."""
    assert waits(*[CAPPED] * 30) == [1] * 30


def test_a_good_stream_ends_a_row_of_failures() -> None:
    """If it outlived the wait before it; if not, the row goes on."""
    assert waits(*[FAILED] * 5, CAPPED, FAILED) == [1, 2, 4, 8, 16, 1, 2]
    assert waits(*[FAILED] * 6, CAPPED) == [1, 2, 4, 8, 16, 32, 20]


def test_no_wait_is_longer_than_the_stream_before_it() -> None:
    """A stream that nothing came over is not good, and bounds its wait all the same."""
    silent = StreamEnd(lived_seconds=5.0)
    assert waits(*[silent] * 5) == [1, 2, 4, 5, 5]


def test_a_stream_that_ends_at_once_is_not_opened_without_end() -> None:
    """It may say hello each time: the waits grow."""
    assert waits(*[SHORT] * 5) == [1, 2, 4, 8, 16]


def test_who_is_refused_asks_ever_less() -> None:
    """Up to five minutes, and a minute again once the answer is no refusal."""
    refused = StreamEnd(is_refused=True)
    assert waits(*[refused] * 10, FAILED)[-4:] == [128, 256, 300, 60]


@pytest.mark.parametrize("lived", [0.0, 20.0])
def test_a_wait_that_is_asked_for_is_kept(lived: float) -> None:
    """Whatever the stream lived; and up to a fifth is added, so that hosts spread."""
    end = StreamEnd(lived_seconds=lived, has_delivered=bool(lived), asked_seconds=100.0)
    assert waits(end) == [120]
