"""What `--since` understands."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from rensei_daemon.cli.parse_time import parse_time
from rensei_daemon.errors import UsageError

HERE = timezone(timedelta(hours=2))
NOW = datetime(2026, 11, 23, 16, 30, 15, tzinfo=HERE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        ("10 min", NOW - timedelta(minutes=10)),
        ("2h", NOW - timedelta(hours=2)),
        (" 1h30m ", NOW - timedelta(minutes=90)),
        ("2 hours ago", NOW - timedelta(hours=2)),
        ("3D", NOW - timedelta(days=3)),
        ("1w", NOW - timedelta(days=7)),
        ("now", NOW),
        ("today", datetime(2026, 11, 23, tzinfo=HERE)),
        ("Yesterday", datetime(2026, 11, 22, tzinfo=HERE)),
        ("16:00", datetime(2026, 11, 23, 16, tzinfo=HERE)),
        ("16:30:15", NOW),
        ("16:31", datetime(2026, 11, 22, 16, 31, tzinfo=HERE)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=HERE)),
        ("2026-11-20 16:00", datetime(2026, 11, 20, 16, tzinfo=HERE)),
        ("2026-11-20T16:00:00.123Z", datetime(2026, 11, 20, 16, 0, 0, 123000, UTC)),
    ],
)
def test_moments(text: str, expected: datetime) -> None:
    """Ages, days, times of day and ISO times; without a zone they are this host's."""
    assert parse_time(text, NOW, lambda moment: moment.replace(tzinfo=HERE)) == expected


def test_the_zone_of_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A date in summer is in summer time, though it is winter now."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        now = datetime(2026, 11, 23, 16, tzinfo=UTC)
        assert parse_time("2026-07-01", now) == datetime(2026, 6, 30, 22, tzinfo=UTC)
        assert parse_time("2026-12-01", now) == datetime(2026, 11, 30, 23, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text",
    ["", "tea", "10", "5y", "5 moons", "25:00", "12:99", "99999999999d", "2026-13-01"],
)
def test_what_is_no_moment(text: str) -> None:
    """Anything else is a usage error with examples, not a traceback."""
    with pytest.raises(UsageError, match="is no time") as caught:
        parse_time(text, NOW)
    assert "15m, 2h" in caught.value.hint
