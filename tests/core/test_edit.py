"""Edits as JSON, and what counts as the same value."""

from datetime import UTC, date, datetime, time
from typing import Any

import pytest

from rensei_daemon.core.edit import (
    ABSENT,
    Edit,
    dump_edits,
    edited_copy,
    load_edits,
    look_up,
    look_up_table,
    same,
)
from rensei_daemon.errors import ConflictingMutationError


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


def test_a_plain_value_on_the_way_is_a_conflict() -> None:
    """Where a table is expected, nothing else is looked into."""
    with pytest.raises(ConflictingMutationError) as refused:
        look_up({"projects": 1}, ("projects", "a"))
    assert str(refused.value) == (
        "projects.a cannot be edited: a table above it is a plain value"
    )
    with pytest.raises(ConflictingMutationError) as refused:
        look_up_table({"projects": {"a": []}}, ("projects", "a"))
    assert str(refused.value) == "projects.a is not a table"


def test_an_edited_copy_leaves_the_original() -> None:
    """Tables on the way are made; one that an edit empties stays."""
    tree = {"a": {"b": 1}}
    edits = [Edit(("a", "b"), 1, ABSENT), Edit(("c", "d"), ABSENT, {"e": 2})]
    assert edited_copy(tree, edits) == {"a": {}, "c": {"d": {"e": 2}}}
    assert tree == {"a": {"b": 1}}
