"""Durations for people."""

import pytest

from rensei_daemon.core.duration import format_duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (119, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86399, "23 h 59 min"),
        (86400, "1 d"),
        (100 * 86400 + 7300, "100 d 2 h"),
    ],
)
def test_a_span_is_said_in_at_most_two_units(seconds: float, said: str) -> None:
    """What is read at a glance needs no more."""
    assert format_duration(seconds) == said
