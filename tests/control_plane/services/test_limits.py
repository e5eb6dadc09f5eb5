"""The limit on wrong keys and passwords."""

from itertools import count

import pytest

from rensei_platform.errors import (
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
)
from rensei_platform.services.limits import (
    MOST_ADDRESSES,
    MOST_FAILURES,
    WINDOW_SECONDS,
    FailureLimiter,
)

ADDRESS = "192.0.2.1"


class Clock:
    """A time that passes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def fail(limiter: FailureLimiter, *addresses: str) -> None:
    """Fail once from each address."""
    for address in addresses:
        with pytest.raises(UnauthorizedError), limiter.attempt(address):
            raise UnauthorizedError


def is_held_up(limiter: FailureLimiter, address: str) -> bool:
    """Whether nothing of an address is tried any more."""
    try:
        limiter.check(address)
    except TooManyRequestsError:
        return True
    return False


def test_servers_of_one_database_share_what_is_allowed() -> None:
    """Each its part, rounded up: what is sent to all of them is hardly more."""
    limiter = FailureLimiter(Clock(), most=10)
    limiter.servers = 3
    fail(limiter, *[ADDRESS] * 3)
    assert not is_held_up(limiter, ADDRESS)
    fail(limiter, ADDRESS)
    assert is_held_up(limiter, ADDRESS)
    limiter.servers = 1
    assert not is_held_up(limiter, ADDRESS)


def test_failures_of_a_minute_are_too_many() -> None:
    """Until the minute is over, with how long that takes; others are not held up."""
    clock = Clock()
    limiter = FailureLimiter(clock)
    fail(limiter, *[ADDRESS] * MOST_FAILURES)
    clock.now = WINDOW_SECONDS - 7.5
    with pytest.raises(TooManyRequestsError) as refused, limiter.attempt(ADDRESS):
        pass
    assert refused.value.retry_after_seconds == 8
    assert not is_held_up(limiter, "192.0.2.2")
    clock.now = WINDOW_SECONDS
    fail(limiter, ADDRESS)
    assert not is_held_up(limiter, ADDRESS)


def test_what_runs_at_the_same_time_is_counted_before_it_fails() -> None:
    """Many wrong passwords that are sent at once are not all tried."""
    limiter = FailureLimiter()
    begun = [limiter.attempt(ADDRESS) for _ in range(MOST_FAILURES)]
    for attempt in begun:
        attempt.__enter__()
    assert is_held_up(limiter, ADDRESS)
    for attempt in begun[:3]:
        attempt.__exit__(None, None, None)
    fail(limiter, *[ADDRESS] * 3)
    assert is_held_up(limiter, ADDRESS)


@pytest.mark.parametrize("error", [None, UnavailableError("away"), ValueError()])
def test_what_ends_otherwise_is_no_failure(error: Exception | None) -> None:
    """A success, and an answer that there is none now."""
    limiter = FailureLimiter()
    for _ in range(2 * MOST_FAILURES):
        try:
            with limiter.attempt(ADDRESS):
                if error is not None:
                    raise error
        except (UnavailableError, ValueError):
            pass
    assert not is_held_up(limiter, ADDRESS)
    for _ in range(MOST_FAILURES):
        with pytest.raises(NotFoundError), limiter.attempt(ADDRESS):
            raise NotFoundError("no such link")
    assert is_held_up(limiter, ADDRESS)


def test_addresses_of_one_network_are_one_client() -> None:
    """Whoever has an IPv6 address has 2⁶⁴ of them; an IPv4 address is spelled two ways."""
    limiter = FailureLimiter()
    fail(limiter, *(f"2001:db8:0:1:{n:x}::{n:x}" for n in range(MOST_FAILURES)))
    assert is_held_up(limiter, "2001:db8:0:1:ffff::")
    assert not is_held_up(limiter, "2001:db8:0:2::")
    fail(limiter, *[ADDRESS, f"::ffff:{ADDRESS}"] * (MOST_FAILURES // 2))
    assert is_held_up(limiter, ADDRESS)
    fail(limiter, *["testclient"] * MOST_FAILURES)
    assert is_held_up(limiter, "testclient")


def test_a_flood_of_addresses_is_bounded() -> None:
    """The oldest is forgotten, also while something of it runs."""
    limiter, numbers = FailureLimiter(), count()
    with limiter.attempt(ADDRESS):
        for _ in range(MOST_ADDRESSES):
            limiter.count(f"client-{next(numbers)}")
    assert len(limiter._windows) == MOST_ADDRESSES
    assert not is_held_up(limiter, ADDRESS)
