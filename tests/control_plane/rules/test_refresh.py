"""When values are resolved, and asked for, again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_platform.rules.refresh import (
    Times,
    is_nearly_over,
    refresh_until,
    renewal_at,
    times_with_lease,
    times_without_lease,
)

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)


def _after(**span: float) -> datetime:
    return NOW + timedelta(**span)


def test_without_lease() -> None:
    """Values without a lease stay good, and are looked at only if they are watched."""
    assert times_without_lease(NOW, None) == Times(_after(minutes=15), None, None)
    assert times_without_lease(NOW, 60) == Times(
        _after(minutes=15), None, _after(minutes=1)
    )


def test_with_lease() -> None:
    """A lease is due after two thirds; if not renewable it is stale before its end."""
    renewable = Times(_after(minutes=60), _after(minutes=60), _after(minutes=40))
    assert times_with_lease(NOW, 3600, renewable=True) == renewable
    not_renewable = Times(_after(minutes=50), _after(minutes=60), _after(minutes=40))
    assert times_with_lease(NOW, 3600, renewable=False) == not_renewable


def test_renewal_at() -> None:
    """When a lease is due follows from its end and its length."""
    assert renewal_at(_after(minutes=60), 3600) == _after(minutes=40)


@pytest.mark.parametrize(("minutes", "is_over"), [(49.9, False), (50, True), (61, True)])
def test_is_nearly_over(minutes: float, is_over: bool) -> None:
    """The last sixth of a lease is nearly over."""
    assert is_nearly_over(_after(minutes=minutes), _after(minutes=60), 3600) is is_over


@pytest.mark.parametrize(
    ("expires_after", "chance", "minutes"),
    [
        (None, 0.5, 55),
        (None, 0, 49.5),
        (None, 1, 60.5),
        (30, 0.5, 20),
        (30, 0, 18),
        (30, 1, 22),
        (600, 0.5, 55),
    ],
)
def test_refresh_until(expires_after: float | None, chance: float, minutes: float) -> None:
    """A host asks again well before the first lease ends, ten per cent more or less."""
    expires_at = None if expires_after is None else _after(minutes=expires_after)
    found = refresh_until(NOW, expires_at, timedelta(minutes=55), chance)
    assert found == _after(minutes=minutes)


@given(st.floats(2, 1e7), st.floats(0, 1))
def test_refresh_before_the_end(seconds: float, chance: float) -> None:
    """No host is told to ask again after the end of a lease."""
    found = refresh_until(NOW, _after(seconds=seconds), timedelta(hours=1), chance)
    assert NOW < found < _after(seconds=seconds)


def test_refresh_of_what_has_ended() -> None:
    """A host with values that have just ended asks again in a second, not at once."""
    assert refresh_until(NOW, NOW, timedelta(hours=1), 0.5) == _after(seconds=1)
