"""Formats one log event as text or JSON.

An event is a flat mapping of `timestamp` (ISO 8601, UTC), `level`, `event` (such as
`mutation.applied`), optionally `exception` (a traceback), and further fields. The daemon
and `rensei-daemon logs` use this module, so it imports nothing slow.
"""

import json
from collections.abc import Iterator, Mapping

from rensei_daemon.core.escaping import escape_line, is_visible

Event = Mapping[str, object]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""The number of each level."""

_APART = ("timestamp", "level", "event", "exception")
_LEVEL_COLOURS = {
    "debug": "\x1b[2m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}
_BOLD, _DIM, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def render_line(event: Event, *, colour: bool, longest: int | None = None) -> str:
    """Return an event as a line of text, without a line break at its end.

    A traceback follows on further lines. Values are cut at `longest` characters.
    """
    level = _inline(event.get("level") or "-")
    name = _name(event)
    when = _inline(event.get("timestamp") or "-")
    pairs = " ".join(_pairs(event, longest))
    if colour:
        when = f"{_DIM}{when}{_RESET}"
        name = f"{_BOLD}{name}{_RESET}"
        level = f"{_LEVEL_COLOURS.get(level, '')}{level:<8}{_RESET}"
    line = f"{when} {level:<8} {name}"
    return f"{line}  {pairs}{_trace(event)}" if pairs else line + _trace(event)


def render_message(event: Event) -> str:
    """Return an event without time and level, for a reader that shows them itself."""
    return " ".join([_name(event), *_pairs(event)]) + _trace(event)


def render_json(event: Event) -> str:
    """Return an event as one line of ASCII JSON; values unknown to JSON become text."""
    return json.dumps(event, default=str)


def _name(event: Event) -> str:
    # Text of other programs is shown without quotes.
    return escape_line(str(event.get("event", "")))


def _pairs(event: Event, longest: int | None = None) -> Iterator[str]:
    for key, value in event.items():
        if key not in _APART:
            yield f"{escape_line(str(key))}={_inline(value, longest)}"


def _inline(value: object, longest: int | None = None) -> str:
    if not isinstance(value, str):
        text = json.dumps(value, default=str, ensure_ascii=False)
        return escape_line(text, longest=longest)
    if value and is_visible(value) and not set(value) & set(' "='):
        return escape_line(value, longest=longest)
    return escape_line(json.dumps(value, ensure_ascii=False), longest=longest)


def _trace(event: Event) -> str:
    lines = str(event.get("exception") or "").splitlines()
    return "".join(f"\n    {escape_line(line)}" for line in lines)
