"""Connections of the credential socket, shared so that nobody has them all."""

from contextlib import ExitStack

import pytest

from rensei_daemon.delivery.connection_quota import ConnectionQuota, QuotaExceededError


@pytest.fixture
def told() -> list[tuple[str, str]]:
    """The reports about refused readers."""
    return []


@pytest.fixture
def quota(told: list[tuple[str, str]]) -> ConnectionQuota:
    """Eight places."""
    return ConnectionQuota(8, lambda whose, why: told.append((whose, why)))


def test_one_user_leaves_half_of_the_places_to_the_rest(
    quota: ConnectionQuota, told: list[tuple[str, str]]
) -> None:
    """It is reported once, and once more when half of its share is free again."""
    with ExitStack() as others:
        with ExitStack() as greedy:
            for _ in range(4):
                greedy.enter_context(quota.of_user(1001))
            for _ in range(3):
                with pytest.raises(QuotaExceededError), quota.of_user(1001):
                    pass
            for _ in range(4):
                others.enter_context(quota.of_user(1002))
            with pytest.raises(QuotaExceededError), quota.of_user(1003):
                pass
            expected = [
                ("user 1001", "holds 4 of 8 places"),
                ("all users", "holds 8 of 8 places"),
            ]
            assert told == expected
        assert told == [*expected, ("user 1001", ""), ("all users", "")]
        with quota.of_user(1001):
            pass


def test_one_session_leaves_half_of_the_places_to_the_rest(
    quota: ConnectionQuota, told: list[tuple[str, str]]
) -> None:
    """Whichever users its readers belong to."""
    with ExitStack() as places, ExitStack() as last:
        for _ in range(3):
            places.enter_context(quota.of_session("build"))
        last.enter_context(quota.of_session("build"))
        for _ in range(2):
            with pytest.raises(QuotaExceededError), quota.of_session("build"):
                pass
        with quota.of_session("test"):
            pass
        last.close()
        assert told == [("session build", "holds 4 of 8 places")]
    assert told == [("session build", "holds 4 of 8 places"), ("session build", "")]
