"""Text for people: what cannot be seen is written out, and what is long is cut."""

from datetime import datetime, timedelta

LONGEST = 300
"""Characters of a foreign text that a table shows."""
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def visible(value: str) -> str:
    """Return a text with its invisible characters as escapes, but for line ends and tabs.

    Marks that turn the direction of writing are among them: they could make a text look
    like another one.
    """
    if value.isprintable():
        return value
    return "".join(
        char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1]
        for char in value
    )


def finalize(value: object) -> object:
    """Return what a template prints for a value: nothing for None, no invisible text."""
    if value is None:
        return ""
    # Exactly a text: what is markup of ours is a subclass.
    return visible(value) if type(value) is str else value


def cut(value: str, longest: int = LONGEST) -> str:
    """Return the beginning of a text, with how long it is if that is not all."""
    if len(value) <= longest:
        return value
    return f"{value[:longest]}… ({len(value):,} characters)"


def span(duration: timedelta) -> str:
    """Return a duration as its largest unit, such as `3 h`."""
    seconds = max(int(duration.total_seconds()), 0)
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def age(at: datetime, now: datetime) -> str:
    """Return how long ago it was."""
    return f"{span(now - at)} ago"


def clock(at: datetime) -> str:
    """Return a time to the second, such as `2026-11-29 04:30:05`; UTC."""
    return at.strftime("%Y-%m-%d %H:%M:%S")
