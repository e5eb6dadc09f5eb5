"""How times are spelled where programs read them: in JSON, events and the journal."""

from datetime import UTC, datetime


def iso_time(moment: datetime) -> str:
    """Return a time in ISO 8601, in UTC with milliseconds and Z."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
