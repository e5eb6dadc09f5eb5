"""The conditions on the screen of `status`: each cause once, with what follows from it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rensei_daemon.cli.status_sessions import format_age
from rensei_daemon.cli.terminal import Style, clean, paint, wrap
from rensei_daemon.core.duration import format_duration

Condition = Mapping[str, Any]
Trouble = tuple[Condition, Sequence[Condition]]
"""What to fix, and which other conditions follow from it."""


def group_conditions(conditions: Sequence[Condition]) -> list[Trouble]:
    """Group conditions by their cause; a cause that is missing here is no cause."""
    effects: dict[tuple[str, str], list[Condition]] = {}
    for condition in conditions:
        if cause := condition.get("because_of"):
            effects.setdefault((cause["code"], cause["subject"]), []).append(condition)
    keys = [(c["code"], c.get("subject", "")) for c in conditions]
    causes = {k for k, c in zip(keys, conditions, strict=True) if not c.get("because_of")}
    return [
        (c, effects.get(key, ()))
        for key, c in zip(keys, conditions, strict=True)
        if not (cause := c.get("because_of"))
        or (cause["code"], cause["subject"]) not in causes
    ]


def draw_condition(trouble: Trouble, width: int, colour: bool, now: datetime) -> list[str]:
    """Return the lines of a condition, with the worst severity of it and its effects."""
    condition, effects = trouble
    is_error = any(c["severity"] == "error" for c in (condition, *effects))
    severity = "error" if is_error else clean(condition["severity"])
    code = clean(condition["code"])
    age = format_duration(format_age(condition["since"], now))
    head = f"{severity.upper()}  {code}, for {age}"
    message = wrap(clean(condition["message"]), width, first="  ", rest="  ")
    hint = clean(condition.get("hint") or "")
    lines = [paint(head, Style.STRONG, colour=colour), message]
    if hint:
        lines.append(wrap(hint, width, first="  → ", rest="    "))
    if effects:
        lines.append(wrap(_led(effects), width, first="  ", rest="  "))
    return lines


def _led(conditions: Sequence[Condition]) -> str:
    """Return the effects of a cause: `explains: stream.interrupted (build)`."""
    subjects: dict[str, list[str]] = {}
    for condition in conditions:
        subject = clean(condition.get("subject", ""))
        subjects.setdefault(clean(condition["code"]), []).append(subject)
    explained = (
        f"{code} ({', '.join(filter(None, of))})" if any(of) else code
        for code, of in subjects.items()
    )
    return f"explains: {', '.join(explained)}"
