"""Which UPDATE is newer than what is there, by the platform's stamps."""

from datetime import UTC, datetime, timedelta

import pytest

from rensei_daemon.core.rotation_order import RotationOrder

NOON = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the time that many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def fresh(date: float = 0.0, now: float = 100.0) -> RotationOrder:
    """Return the order after one snapshot."""
    return RotationOrder().after_snapshot(at(date), now)


@pytest.mark.parametrize(
    ("stamp", "is_admitted"),
    [(0.0, True), (-1.0, True), (-1.001, False), (-3600.0, False), (5.0, True)],
)
def test_an_update_older_than_the_snapshot_is_late(stamp: float, is_admitted: bool) -> None:
    """By more than the second that a `Date` may hide."""
    assert fresh().admits(at(stamp), 100.0) is is_admitted


def test_an_update_not_newer_than_the_newest_is_late() -> None:
    """Whether it was overtaken or came twice."""
    order = fresh().after_update(at(0.5), 100.6)
    assert not order.admits(at(0.5), 100.7)
    assert not order.admits(at(0.499), 100.7)
    assert order.admits(at(0.501), 100.7)


def test_an_update_sets_the_newest_stamp_forward_alone() -> None:
    """What is a second older than the newest of both is late."""
    order = fresh(10).after_update(at(9.5), 100.0)
    assert order.newest == at(10)
    assert order.after_update(at(12), 102.0).newest == at(12)


@pytest.mark.parametrize(
    ("stamp", "now"), [(None, 100.0), (61.0, 100.0), (65.0, 104.0), (1e9, 100.0)]
)
def test_a_stamp_that_says_nothing_goes_by_arrival(stamp: float | None, now: float) -> None:
    """Missing, or more than a minute ahead of the platform's clock as it runs on."""
    moment = None if stamp is None else at(stamp)
    order = fresh().after_update(at(0.5), 100.0)
    assert order.admits(moment, now)
    assert order.after_update(moment, now) == order


def test_a_stamp_a_minute_ahead_is_believed() -> None:
    """The platform has more than one clock; after it, older ones are late."""
    order = fresh().after_update(at(59), 100.0)
    assert order.newest_update == at(59)
    assert not order.admits(at(30), 100.0)


def test_the_platforms_clock_runs_on_between_snapshots() -> None:
    """An hour after the last snapshot, now is no time ahead."""
    assert fresh().after_update(at(3600), 3700.0).newest_update == at(3600)


def test_a_snapshot_sets_the_newest_stamp_also_backwards() -> None:
    """When the platform's clock was set back, its next updates are not late."""
    order = fresh(3600).after_update(at(3601), 101.0)
    order = order.after_snapshot(at(0), 102.0)
    assert order.admits(at(1), 103.0)
    assert order.newest == at(0)


def test_a_snapshot_does_not_let_an_old_update_in_again() -> None:
    """One of the same second as the snapshot, held back, is still not newer."""
    order = fresh().after_update(at(5.9), 105.9).after_snapshot(at(6), 106.0)
    assert not order.admits(at(5.5), 106.1)


@pytest.mark.parametrize(
    ("stamp", "outlives"), [(None, True), (9.0, True), (8.9, False), (20.0, True)]
)
def test_an_update_that_came_meanwhile_stands_if_it_is_no_older(
    stamp: float | None, outlives: bool
) -> None:
    """A snapshot that was answered after it was rotated has it already."""
    order = fresh(10)
    moment = None if stamp is None else at(stamp)
    assert order.outlives_snapshot(moment, 100.0) is outlives


def test_no_date_overflows() -> None:
    """The first and the last possible times are compared correctly."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    order = RotationOrder().after_snapshot(last, 0.0)
    assert not order.admits(first, 1e12)
    assert RotationOrder().after_snapshot(first, 0.0).admits(last, 0.0)
