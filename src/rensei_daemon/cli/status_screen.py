"""The screen of `status`: a pure function of the daemon's JSON.

Every age counts from a time in the data, never from the answer, so a daemon that answers
but does nothing is visible. Keys that are missing, because another version wrote the data,
omit their line.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rensei_daemon.cli.conditions_view import Trouble, draw_condition, group_conditions
from rensei_daemon.cli.status_sessions import draw_sessions, format_age
from rensei_daemon.cli.terminal import Style, clean, paint, wrap
from rensei_daemon.core.duration import format_duration

_MARGIN = 12
_LONGEST_REASON = 160
"""Characters; two lines or three on a narrow screen."""
_LOOKS = {
    "ok": ("●", Style.GOOD),
    "starting": ("◌", Style.WATCH),
    "degraded": ("▲", Style.WATCH),
    "stopping": ("◌", Style.WATCH),
    "failed": ("✖", Style.BAD),
    "not running": ("○", Style.BAD),
}
_UNKNOWN = ("?", Style.BAD)


def render(
    status: Mapping[str, Any],
    *,
    width: int,
    colour: bool,
    now: datetime,
    alive: bool = True,
) -> str:
    """Draw the screen: state, conditions, then each part of the daemon.

    With `alive` false, the status is the last one of a stopped daemon.
    """
    conditions = status.get("conditions", [])
    troubles = group_conditions([c for c in conditions if c["severity"] != "info"])
    notes = [c for c in conditions if c["severity"] == "info"]
    blocks = [
        _headline(status, troubles, colour, now, alive),
        *(draw_condition(trouble, width, colour, now) for trouble in troubles),
        _facts(status, width, now),
        draw_sessions(
            status.get("sessions", []), width=width, colour=colour, now=now, alive=alive
        ),
        [line for note in notes for line in _note(note, width)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _headline(
    status: Mapping[str, Any],
    troubles: Sequence[Trouble],
    colour: bool,
    now: datetime,
    alive: bool,
) -> list[str]:
    state = clean(status.get("state", "?"))
    shown = state if alive else "not running"
    symbol, style = _LOOKS.get(shown, _UNKNOWN)
    banner = f"{symbol} {shown.upper()}"
    banner = paint(f" {banner} ", style, colour=True) if colour else banner
    if not alive:
        gone = format_duration(format_age(status.get("reported_at"), now))
        return [f"{banner}  last status: {state}, {gone} ago"]
    if troubles and state in ("degraded", "failed"):
        banner += f" for {format_duration(format_age(troubles[0][0]['since'], now))}"
    up = format_duration(status.get("uptime_seconds", 0))
    version = clean(status.get("version", "?"))
    return [f"{banner}  rensei-daemon {version}, up {up}, pid {status.get('pid', '?')}"]


def _note(condition: Mapping[str, Any], width: int) -> list[str]:
    text = clean(condition["message"])
    if condition.get("hint"):
        text = f"{text} ({clean(condition['hint'])})"
    return [wrap(text, width, first=f"{'note':<{_MARGIN}}", rest=" " * _MARGIN)]


def _facts(status: Mapping[str, Any], width: int, now: datetime) -> list[str]:
    parts = (
        ("heartbeat", _heartbeat(status.get("heartbeat"), now)),
        ("mutations", _mutations(status.get("mutations"), now)),
        ("projects", _projects(status.get("projects"))),
        ("pool", _pool(status)),
        ("platform", _platform(status)),
        ("config", _config(status.get("config"))),
    )
    lines = []
    for label, texts in parts:
        for index, text in enumerate(texts):
            first = f"{'' if index else label:<{_MARGIN}}"
            lines.append(wrap(text, width, first=first, rest=" " * _MARGIN))
    return lines


def _heartbeat(line: Mapping[str, Any] | None, now: datetime) -> Iterable[str]:
    if not line:
        return
    interval = f"one every {line['interval_seconds']:g} s"
    if line["last_ok_at"]:
        age = format_duration(format_age(line["last_ok_at"], now))
        yield f"last good beat {age} ago, {interval}"
    else:
        yield f"no good beat yet, {interval}"
    if line["consecutive_failures"]:
        count = line["consecutive_failures"]
        yield f"{count} failed since: {clean(line['last_error'] or 'no reason given')}"


def _mutations(line: Mapping[str, Any] | None, now: datetime) -> Iterable[str]:
    if not line:
        return
    owed, waiting = line["unacknowledged"], line.get("waiting", 0)
    reported = f"{owed} not yet acknowledged" if owed else "all acknowledged"
    yield f"{line['applied']} applied, {line['failed']} failed, {reported}"
    if waiting:
        yield f"{waiting} waiting: see below why"
    if last := line["last"]:
        what = f"{clean(last['op'])} {clean(last['id'])} {clean(last['outcome'])}"
        why = f": {_reason(last)}" if last.get("message") else ""
        yield f"newest: {what} {format_duration(format_age(last['at'], now))} ago{why}"


def _reason(last: Mapping[str, Any]) -> str:
    """Return why a mutation failed, shortened."""
    message = clean(last["message"])
    if len(message) <= _LONGEST_REASON:
        return message
    show = f"rensei-daemon mutations show {clean(last['id'])}"
    return f"{message[:_LONGEST_REASON]}… (all of it: {show})"


def _projects(line: Mapping[str, Any] | None) -> Iterable[str]:
    if line:
        yield f"{line['enabled']} enabled, {line['disabled']} disabled"


def _pool(status: Mapping[str, Any]) -> Iterable[str]:
    pool = status.get("pool")
    if pool:
        yield f"{clean(pool.get('id') or 'this host')}: {clean(pool['status'])}"


def _platform(status: Mapping[str, Any]) -> Iterable[str]:
    worker = status.get("worker_id")
    known_as = f"as {clean(worker)}" if worker else "not registered yet"
    yield f"{clean(status.get('platform_url', '?'))}, {known_as}"


def _config(line: Mapping[str, Any] | None) -> Iterable[str]:
    if line:
        verdict = "valid" if line["valid"] else "NOT VALID, last good text in force"
        yield f"{clean(line['path'])}, {verdict}"
