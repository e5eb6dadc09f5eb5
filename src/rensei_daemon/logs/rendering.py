"""One log event as people, journals and programs read it.

An event is a flat mapping: `timestamp` (ISO 8601, UTC), `level`, `event` (a past-tense
dotted fact, like `mutation.applied`), perhaps `exception` (a traceback), and the keys
bound to it. The daemon and `rensei-daemon logs` share this module; it imports nothing
slow.
"""

import json
from collections.abc import Iterator, Mapping

Event = Mapping[str, object]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""Every level by name, with its weight."""

_APART = ("timestamp", "level", "event", "exception")
_LEVEL_COLOURS = {
    "debug": "\x1b[2m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}
_BOLD, _DIM, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def render_line(event: Event, *, colour: bool) -> str:
    """Return an event as a line for people, without a line break at its end.

    A traceback, if there is one, follows on lines of its own.
    """
    level = _inline(event.get("level") or "-")
    name = _name(event)
    when = _inline(event.get("timestamp") or "-")
    pairs = " ".join(_pairs(event))
    if colour:
        when = f"{_DIM}{when}{_RESET}"
        name = f"{_BOLD}{name}{_RESET}"
        level = f"{_LEVEL_COLOURS.get(level, '')}{level:<8}{_RESET}"
    line = f"{when} {level:<8} {name}"
    return f"{line}  {pairs}{_trace(event)}" if pairs else line + _trace(event)


def render_message(event: Event) -> str:
    """Return an event for a reader that shows time and level itself."""
    return " ".join([_name(event), *_pairs(event)]) + _trace(event)


def render_json(event: Event) -> str:
    """Return an event as one line of JSON; what JSON has no form for goes as text."""
    return json.dumps(event, default=str, ensure_ascii=False)


def _name(event: Event) -> str:
    # A line of somebody else's, kept as their words, reads better without quotes.
    return _printable(str(event.get("event", "")))


def _pairs(event: Event) -> Iterator[str]:
    for key, value in event.items():
        if key not in _APART:
            yield f"{key}={_inline(value)}"


def _inline(value: object) -> str:
    if not isinstance(value, str):
        return _printable(json.dumps(value, default=str, ensure_ascii=False))
    if value and value.isprintable() and not set(value) & set(' "='):
        return value
    return _printable(json.dumps(value, ensure_ascii=False))


def _printable(text: str) -> str:
    """Return text that cannot steer a terminal: control characters as escapes."""
    if text.isprintable():
        return text
    return "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii")
        for mark in text
    )


def _trace(event: Event) -> str:
    lines = str(event.get("exception") or "").splitlines()
    return "".join(f"\n    {_printable(line)}" for line in lines)
