"""Parses a moment in the past, as a person writes it."""

import re
from collections.abc import Callable
from datetime import datetime, time, timedelta

from rensei_daemon.errors import UsageError

EXAMPLES = "like 15m, 2h, 1d, yesterday, 16:00, 2026-11-23 16:00 or 2026-11-23T16:00:00Z"

_AGO = re.compile(r"(?:\d+\s*[a-z]+\s*)+", re.IGNORECASE)
_PART = re.compile(r"(\d+)\s*([a-z]+)", re.IGNORECASE)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
_UNITS = {
    "seconds": ("s", "sec", "secs", "second", "seconds"),
    "minutes": ("m", "min", "mins", "minute", "minutes"),
    "hours": ("h", "hr", "hours", "hour"),
    "days": ("d", "day", "days"),
    "weeks": ("w", "week", "weeks"),
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words}


Localise = Callable[[datetime], datetime]
"""Interprets a time without zone in this host's zone, with the offset of that date."""


def parse_time(
    text: str, now: datetime, localise: Localise = datetime.astimezone
) -> datetime:
    """Return the time meant by `15m`, `16:00` or an ISO time; `UsageError` for others.

    `now` is aware. A time of day is the last one.
    """
    words = text.strip().lower().removesuffix("ago").strip()
    try:
        return _ago(words, now) or _day(words, now, localise) or _at(text.strip(), localise)
    except (ValueError, OverflowError) as error:
        raise UsageError(f'--since "{text}" is no time', hint=EXAMPLES) from error


def _ago(words: str, now: datetime) -> datetime | None:
    if not _AGO.fullmatch(words):
        return None
    since = now
    for count, unit in _PART.findall(words):
        if unit not in _UNIT_OF:
            raise ValueError(unit)
        since -= timedelta(**{_UNIT_OF[unit]: int(count)})
    return since


def _day(words: str, now: datetime, localise: Localise) -> datetime | None:
    today, day = now.date(), timedelta(days=1)
    if words == "now":
        return now
    if words in ("today", "yesterday"):
        date = today if words == "today" else today - day
        return localise(datetime.combine(date, time()))
    if not _CLOCK.fullmatch(words):
        return None
    clock = time.fromisoformat(words if words[2] == ":" else f"0{words}")
    moment = localise(datetime.combine(today, clock))
    return moment if moment <= now else localise(datetime.combine(today - day, clock))


def _at(text: str, localise: Localise) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else localise(moment)
