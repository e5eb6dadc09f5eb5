"""Times: aware, UTC and in whole milliseconds, so that every store keeps them exactly."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_milliseconds(at: datetime) -> int:
    """Return the whole milliseconds since 1970."""
    return (at - _EPOCH) // _MILLISECOND


def from_milliseconds(milliseconds: int) -> datetime:
    """Return the time this many milliseconds after 1970 began."""
    return _EPOCH + milliseconds * _MILLISECOND


def whole_milliseconds(at: datetime) -> datetime:
    """Return the time without its microseconds."""
    return from_milliseconds(to_milliseconds(at))


def after(last: datetime | None, now: datetime) -> datetime:
    """Return `now`, or the first millisecond after `last` if that is later."""
    return now if last is None else max(now, last + _MILLISECOND)


def wire_time(at: datetime) -> str:
    """Return the time as the wire writes it: 2026-09-01T00:00:30.000Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def optional_wire_time(at: datetime | None) -> str | None:
    """Return the time as the wire writes it; None for none."""
    return None if at is None else wire_time(at)
