"""The sessions on the screen of `status`: a table if it fits, else a few lines each.

Nothing is cut, because an operator may copy it into the next command.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rensei_daemon.cli.terminal import Style, clean, columns, paint, wrap
from rensei_daemon.core.duration import format_duration
from rensei_daemon.core.table import display_width

_MARGIN = 12
_TITLES = ("SESSION", "STREAM", "DATA", "REFRESH", "GEN", "NAMES", "CONSUMERS")


def draw_sessions(
    sessions: Sequence[Mapping[str, Any]],
    *,
    width: int,
    colour: bool,
    now: datetime,
    alive: bool,
) -> list[str]:
    """Return the lines of all sessions; none if there are no sessions."""
    if not sessions:
        return []
    rows = [_cells(session, now, alive) for session in sessions]
    title, *lines = columns([_TITLES, *rows])
    if max(map(display_width, (title, *lines))) > width:
        return [
            line
            for session, row in zip(sessions, rows, strict=True)
            for line in _told(session, row, width)
        ]
    dropped = (_dropped(session, width) for session in sessions)
    return [paint(title, Style.FAINT, colour=colour), *lines, *filter(None, dropped)]


def _cells(session: Mapping[str, Any], now: datetime, alive: bool) -> tuple[str, ...]:
    stream = f"{session['stream']} {format_duration(format_age(session['since'], now))}"
    has_data = session["refreshed_at"]
    return (
        clean(session["id"]),
        clean(stream) if alive else "down",
        f"{format_duration(format_age(session['refreshed_at'], now))} ago"
        if has_data
        else "none yet",
        _refresh(session["refresh_until"], now),
        str(session["generation"]),
        str(len(session["names"])),
        _consumers(session),
    )


def _refresh(until: str | None, now: datetime) -> str:
    if not until:
        return "-"
    overdue = format_age(until, now)
    return (
        f"{format_duration(overdue)} late"
        if overdue >= 1
        else f"in {format_duration(-overdue)}"
    )


def _consumers(session: Mapping[str, Any]) -> str:
    consumers = session["consumers"]
    behind = sum(
        consumer.get("generation") not in (None, session["generation"])
        for consumer in consumers
    )
    waiting = sum(bool(consumer.get("waits_until")) for consumer in consumers)
    counts = ((behind - waiting, "behind"), (waiting, "waiting"))
    notes = ", ".join(f"{count} {what}" for count, what in counts if count > 0)
    return f"{len(consumers)} ({notes})" if notes else str(len(consumers))


def _told(session: Mapping[str, Any], row: Sequence[str], width: int) -> Iterable[str]:
    """Return the cells of a row in words, below the session's name."""
    name, stream, data, refresh, generation, names, consumers = row
    texts = [
        name,
        f"stream {stream}, data {data}, refresh {refresh}",
        f"generation {generation}, names {names}, consumers {consumers}",
    ]
    if session.get("dropped_names"):
        texts.append(f"dropped: {clean(', '.join(session['dropped_names']))}")
    for index, text in enumerate(texts):
        first = f"{'' if index else 'session':<{_MARGIN}}"
        yield wrap(text, width, first=first, rest=" " * _MARGIN)


def _dropped(session: Mapping[str, Any], width: int) -> str:
    if not session.get("dropped_names"):
        return ""
    names = clean(", ".join(session["dropped_names"]))
    return wrap(f"{clean(session['id'])} dropped: {names}", width, rest="  ")


def format_age(time: str | None, now: datetime) -> float:
    """Return the seconds since a time in the data."""
    return (now - datetime.fromisoformat(time)).total_seconds() if time else 0.0
