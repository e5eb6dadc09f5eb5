"""What is wrong, as `status` shows it: each cause once, with what follows from it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rensei_daemon.cli.status_sessions import format_age
from rensei_daemon.cli.terminal import Style, clean, paint, wrap
from rensei_daemon.core.duration import format_duration

Condition = Mapping[str, Any]
Trouble = tuple[Condition, Sequence[Condition]]
"""What to fix, and what goes with it."""


def group_conditions(conditions: Sequence[Condition]) -> list[Trouble]:
    """Put what follows from a condition with it; what it names may be missing."""
    led: dict[tuple[str, str], list[Condition]] = {}
    for condition in conditions:
        if cause := condition.get("because_of"):
            led.setdefault((cause["code"], cause["subject"]), []).append(condition)
    keys = [(c["code"], c.get("subject", "")) for c in conditions]
    causes = {k for k, c in zip(keys, conditions, strict=True) if not c.get("because_of")}
    return [
        (c, led.get(key, ()))
        for key, c in zip(keys, conditions, strict=True)
        if not (cause := c.get("because_of"))
        or (cause["code"], cause["subject"]) not in causes
    ]


def draw_condition(trouble: Trouble, width: int, colour: bool, now: datetime) -> list[str]:
    """Say what is wrong, as gravely as anything that follows from it, and what to do."""
    condition, led = trouble
    is_error = any(c["severity"] == "error" for c in (condition, *led))
    severity = "error" if is_error else clean(condition["severity"])
    code = clean(condition["code"])
    age = format_duration(format_age(condition["since"], now))
    head = f"{severity.upper()}  {code}, for {age}"
    message = wrap(clean(condition["message"]), width, first="  ", rest="  ")
    hint = clean(condition.get("hint") or "")
    lines = [paint(head, Style.STRONG, colour=colour), message]
    if hint:
        lines.append(wrap(hint, width, first="  → ", rest="    "))
    if led:
        lines.append(wrap(_led(led), width, first="  ", rest="  "))
    return lines


def _led(conditions: Sequence[Condition]) -> str:
    """Say what goes once the cause is fixed: `explains: stream.interrupted (build)`."""
    subjects: dict[str, list[str]] = {}
    for condition in conditions:
        subject = clean(condition.get("subject", ""))
        subjects.setdefault(clean(condition["code"]), []).append(subject)
    said = (
        f"{code} ({', '.join(filter(None, of))})" if any(of) else code
        for code, of in subjects.items()
    )
    return f"explains: {', '.join(said)}"
