"""Which version of the platform's values a session may say that it holds."""

from datetime import UTC, datetime, timedelta

import pytest

from rensei_daemon.core.session_values import SessionValues, StreamUpdate
from rensei_daemon.core.snapshot_schedule import SnapshotReason

NOON = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


def holding(version: int | None) -> SessionValues:
    """Return values as a snapshot of noon with this version has them."""
    values = SessionValues()
    values.snapshot_requested()
    assert values.take_snapshot({"A": "1", "B": "1"}, NOON, 0.0, version=version) is None
    return values


def update(
    version: int | None, previous: int | None, *, whole: bool = True, **delta: str
) -> StreamUpdate:
    """Return an UPDATE of a second after noon."""
    stamp = NOON + timedelta(seconds=1)
    return StreamUpdate(delta or {"A": "2"}, stamp, whole, version, previous)


@pytest.mark.parametrize(
    ("held", "event", "wanted", "expected"),
    [
        (5, update(7, 5), None, 7),
        (5, update(7, 3), None, 7),
        (5, update(5, 3), None, 5),
        (5, update(None, None), None, 5),
        (5, update(7, None), None, 5),
        (None, update(7, 5), None, None),
        (5, update(7, 6), SnapshotReason.EVENT, 5),
        (5, update(7, 5, whole=False), SnapshotReason.EVENT, 5),
        (5, update(7, 5, A="\0"), SnapshotReason.EVENT, 5),  # it cannot be delivered
        (5, update(4, 3), SnapshotReason.ORDER, 5),
    ],
)
def test_an_update_is_held_if_none_was_missed(
    held: int | None,
    event: StreamUpdate,
    wanted: SnapshotReason | None,
    expected: int | None,
) -> None:
    """One that skips a rotation, or is older than what is held, asks for a snapshot."""
    values = holding(held)
    assert values.take_update(event, 1.0) is wanted
    assert values.version == expected
    if wanted is SnapshotReason.ORDER:
        assert values.credentials.env["A"] == "1"


def test_a_snapshot_is_held_as_it_is() -> None:
    """Also an older one, as after a restore, and one without a version."""
    values = holding(7)
    for version in (5, None):
        values.take_snapshot({"A": "1"}, NOON, 0.0, version=version)
        assert values.version == version


def test_an_update_during_a_snapshot() -> None:
    """It counts on top of the snapshot, unless that has come after it."""
    values = holding(5)
    values.snapshot_requested()
    assert values.take_update(update(7, 5, A="7"), 1.0) is None
    values.take_snapshot({"A": "5"}, NOON, 1.0, version=5)
    assert (values.version, values.credentials.env) == (7, {"A": "7"})
    values.snapshot_requested()
    later = StreamUpdate({"A": "8"}, NOON + timedelta(seconds=2), True, 8, 7)
    assert values.take_update(later, 2.0) is None
    values.take_snapshot({"A": "9"}, NOON, 2.0, version=9)
    assert (values.version, values.credentials.env) == (9, {"A": "9"})


def test_a_session_that_grows_too_large_holds_the_snapshot() -> None:
    """The updates on top of it are left out, with their version."""
    values = holding(5)
    values.snapshot_requested()
    half = "x" * (600 * 1024)
    assert values.take_update(update(7, 5, A=half), 1.0) is None
    values.take_snapshot({"B": half}, NOON, 1.0, version=5)
    assert (values.version, values.credentials.env) == (5, {"B": half})
