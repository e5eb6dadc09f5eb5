"""What snapshots and updates do to a session's values."""

from datetime import UTC, datetime, timedelta

import pytest

from rensei_daemon.core.session_values import SessionValues, StreamUpdate
from rensei_daemon.core.snapshot_schedule import SnapshotReason

NOON = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the time that many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def holding(**env: str) -> SessionValues:
    """Return values as one snapshot of noon has them."""
    values = SessionValues()
    values.snapshot_requested()
    assert values.take_snapshot(env, NOON, 0.0) is None
    return values


def env_of(values: SessionValues) -> dict[str, str]:
    """Return them."""
    return dict(values.credentials.env)


def test_an_update_changes_its_names_alone() -> None:
    """The next generation, and nothing is asked for."""
    values = holding(A="1", B="1")
    assert values.take_update(StreamUpdate({"A": "2"}, at(1)), 1.0) is None
    assert env_of(values) == {"A": "2", "B": "1"}
    assert values.credentials.generation == 2


def test_a_late_update_changes_nothing() -> None:
    """Two that a proxy has swapped: the newer value stays, and a snapshot is wanted."""
    values = holding(TOKEN="old")
    assert values.take_update(StreamUpdate({"TOKEN": "newest"}, at(30)), 30.0) is None
    before = values.credentials
    assert (
        values.take_update(StreamUpdate({"TOKEN": "older"}, at(0)), 30.1)
        is SnapshotReason.ORDER
    )
    assert values.credentials is before


def test_an_update_let_through_after_a_newer_snapshot_changes_nothing() -> None:
    """It was held back: the snapshot has what came after it."""
    values = holding(TOKEN="old")
    values.take_snapshot({"TOKEN": "newest"}, at(60), 60.0)
    assert (
        values.take_update(StreamUpdate({"TOKEN": "older"}, at(30)), 61.0)
        is SnapshotReason.ORDER
    )
    assert env_of(values) == {"TOKEN": "newest"}


def test_updates_without_a_stamp_apply_as_they_come() -> None:
    """Nothing shows which is newer."""
    values = holding(TOKEN="old")
    for value in ("one", "two"):
        assert values.take_update(StreamUpdate({"TOKEN": value}), 1.0) is None
    assert env_of(values) == {"TOKEN": "two"}


@pytest.mark.parametrize(
    ("stamp", "value"), [(None, "event"), (at(59.5), "event"), (at(58.0), "snapshot")]
)
def test_an_update_during_a_snapshot_stands_unless_it_is_older(
    stamp: datetime | None, value: str
) -> None:
    """Either way another snapshot decides."""
    values = holding(TOKEN="old")
    values.snapshot_requested()
    assert values.take_update(StreamUpdate({"TOKEN": "event"}, stamp), 60.0) is None
    wanted = values.take_snapshot({"TOKEN": "snapshot"}, at(60), 60.5)
    assert (wanted, env_of(values)) == (SnapshotReason.OVERTAKEN, {"TOKEN": value})


def test_an_update_before_a_snapshot_that_failed_is_no_longer_kept() -> None:
    """It was applied; the next snapshot is the truth."""
    values = holding(TOKEN="old")
    values.snapshot_requested()
    values.take_update(StreamUpdate({"TOKEN": "event"}), 60.0)
    values.snapshot_failed()
    assert values._meanwhile is None  # or it would grow until the next one
    assert env_of(values) == {"TOKEN": "event"}
    values.snapshot_requested()
    assert values.take_snapshot({"TOKEN": "snapshot"}, at(60), 60.5) is None
    assert env_of(values) == {"TOKEN": "snapshot"}


def test_before_the_first_snapshot_an_update_only_waits_for_it() -> None:
    """A delta is not all values; the newer of two overrides the snapshot."""
    values = SessionValues()
    values.snapshot_requested()
    assert (
        values.take_update(StreamUpdate({"A": "new"}, at(9)), 9.0) is SnapshotReason.EVENT
    )
    assert (
        values.take_update(StreamUpdate({"A": "old"}, at(8)), 9.1) is SnapshotReason.ORDER
    )
    assert values.credentials.generation == 0
    assert (
        values.take_snapshot({"A": "1", "B": "1"}, at(9), 9.5) is SnapshotReason.OVERTAKEN
    )
    assert env_of(values) == {"A": "new", "B": "1"}


@pytest.mark.parametrize(
    ("delta", "is_whole", "wanted"),
    [
        ({"A": "2\0"}, True, SnapshotReason.EVENT),
        ({"A": "2"}, False, SnapshotReason.EVENT),
        ({"PATH": "/evil"}, True, None),
    ],
)
def test_what_cannot_be_handed_on_does_not_just_stay(
    delta: dict[str, str], is_whole: bool, wanted: SnapshotReason | None
) -> None:
    """A value that was to be replaced by one that cannot be has a snapshot taken."""
    values = holding(A="1")
    arrived = StreamUpdate(delta, is_whole=is_whole)
    assert values.take_update(arrived, 1.0) is wanted


def test_dropped_names_are_kept_by_name() -> None:
    """Names dropped by snapshot and updates, shortened; each snapshot resets them."""
    values = holding(PATH="x", A="1")
    values.take_update(
        StreamUpdate({"HOME": "x", "n" * 200 + "!": "x", "\ud800": "x"}), 1.0
    )
    assert values.dropped_names == ("?", "HOME", "PATH", "n" * 128 + "…")
    values.take_update(StreamUpdate({f"no name {n}": "x" for n in range(6000)}), 1.0)
    assert len(values.dropped_names) == 5000
    values.take_snapshot({"A": "1"}, at(1), 1.0, dropped=["N"])
    assert list(values.dropped_names) == ["N"]


@pytest.mark.parametrize(
    ("after", "lost"), [("", 4), ("A", 3), ("AB", 0), ("ABCD", 0), ("XYZA", 3)]
)
def test_a_snapshot_that_takes_more_than_half_of_the_names_is_doubted(
    after: str, lost: int
) -> None:
    """It is applied as it says, and another one is wanted to confirm it."""
    values = holding(A="1", B="1", C="1", D="1")
    wanted = values.take_snapshot(dict.fromkeys(after, "1"), at(1), 1.0)
    assert env_of(values) == dict.fromkeys(after, "1")
    assert values.lost_names == lost
    assert wanted is (SnapshotReason.LOST_NAMES if lost else None)
    assert values.take_snapshot(dict.fromkeys(after, "1"), at(2), 2.0) is None
    assert values.lost_names == 0


def test_the_first_snapshot_may_be_empty() -> None:
    """Nothing was there that it could have taken."""
    assert holding().lost_names == 0


def test_updates_cannot_make_a_session_too_large() -> None:
    """One that would is refused whole, and a snapshot is asked for."""
    values = holding(A="x" * 1_000_000)
    before = values.credentials
    assert (
        values.take_update(StreamUpdate({"B": "é" * 24_288}), 1.0) is SnapshotReason.EVENT
    )
    assert values.credentials is before
    assert values.take_update(StreamUpdate({"B": "é" * 24_287}), 1.0) is None
    assert values.take_update(StreamUpdate({"A": "x"}), 1.0) is None
    assert values.take_update(StreamUpdate({f"N{n}": "" for n in range(4999)}), 1.0) is (
        SnapshotReason.EVENT
    )
    assert values.take_update(StreamUpdate({f"N{n}": "" for n in range(4998)}), 1.0) is None
    assert len(values.credentials.env) == 5000


def test_what_came_meanwhile_cannot_make_a_session_too_large() -> None:
    """The snapshot then counts alone."""
    values = holding()
    values.snapshot_requested()
    values.take_update(StreamUpdate({"B": "x" * 600_000}), 1.0)
    wanted = values.take_snapshot({"A": "x" * 600_000}, at(1), 1.0)
    assert (wanted, set(env_of(values))) == (SnapshotReason.OVERTAKEN, {"A"})


def test_no_repr_shows_a_value() -> None:
    """Not of an update that came either."""
    assert "canary" not in repr(StreamUpdate({"A": "canary"}))
