"""Edits as JSON, and what counts as the same value."""

from datetime import UTC, date, datetime, time
from typing import Any

import pytest

from rensei_daemon.core.edit import ABSENT, Edit, dump_edits, load_edits, same


@pytest.mark.parametrize(
    "value",
    [
        ABSENT,
        datetime(2026, 11, 23, 16, 0, tzinfo=UTC),
        date(1979, 5, 27),
        time(7, 32),
        {"$time": "boom"},
        {"$absent": True},
        {"$table": {"$absent": True}},
        {"allowed": True, "enforce": {"$date": [1, {"$clock": "x"}], "plain": 1.5}},
        [{"$time": "2026-11-23T16:00:00Z"}, "text", 1],
    ],
)
def test_whatever_a_file_holds_comes_back(value: Any) -> None:
    """Times, absences, and tables that only look like them, survive the journal."""
    edits = [Edit(("a", "b"), value, {"nested": value} if value is not ABSENT else 1)]
    assert load_edits(dump_edits(edits)) == edits


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 1, True),
        (1, True, False),
        (1, 1.0, False),
        (float("nan"), float("nan"), True),
        ([float("nan")], [float("nan")], True),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([], {}, False),
    ],
)
def test_same(left: object, right: object, expected: bool) -> None:
    """Types count at every depth, and NaN is what it was."""
    assert same(left, right) is expected
