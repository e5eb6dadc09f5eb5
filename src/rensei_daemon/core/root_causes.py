"""Which condition follows from which: fix the one, and the other goes by itself.

A condition says what time has shown (no good beat for long, old data, no stream); why, is
what the lane behind it last failed with, and nothing else counts as evidence:

- a lane that was refused, or that a disk of ours stopped, has an alarm up that says so:
  what its silence led to follows from that alarm;
- a session's lane that finds no connection, while the beats find none either, is not its
  own trouble: there is one way to the platform, and `heartbeat.stale` tells of it;
- a certificate that is not valid today follows from a clock that says another day;
- every lane asks with one API key: where it is refused in the same words, one lane says so.

What only happens at the same time stays side by side: a stream that a proxy cuts off is
not explained by beats that come back with a 503. Nothing is left out, here or in the
JSON, and each condition keeps its own severity and counts towards the state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from rensei_daemon.core.conditions import Cause, Code, Condition, Severity
from rensei_daemon.core.health import HeartbeatHealth, SessionHealth
from rensei_daemon.errors import Failure

_NO_CONNECTION = (Failure.UNREACHABLE, Failure.CERTIFICATE_DATES)
_GRAVITY = {severity: rank for rank, severity in enumerate(Severity)}


def link_causes(
    conditions: Iterable[Condition],
    heartbeat: HeartbeatHealth,
    sessions: Mapping[str, SessionHealth],
) -> tuple[Condition, ...]:
    """Say of each condition what it follows from, and put what to fix first on top.

    The gravest first, then the oldest; a condition is as grave as the gravest of those
    that follow from it, and they come right behind it. What says the same in the same
    words is said once.
    """
    ordered = sorted(
        conditions, key=lambda c: (_GRAVITY[c.severity], c.since, c.code, c.subject)
    )
    said: dict[tuple[str, str], Condition] = {}
    speaker = {_cause(c): said.setdefault((c.code, c.message), c) for c in ordered}
    refused = {_words(c): c for c in reversed(ordered) if c.code == Code.UNAUTHORIZED}
    is_skewed = any(c.code == Code.CLOCK_SKEWED for c in ordered)
    groups: dict[Cause, list[Condition]] = {}
    for condition in said.values():
        blamed = _blamed(condition, heartbeat, sessions, is_skewed=is_skewed)
        root = speaker.get(blamed, condition)
        if root.code == Code.UNAUTHORIZED:
            root = refused[_words(root)]
        groups.setdefault(_cause(root), []).append(condition)
    return tuple(c for root, group in groups.items() for c in _led(root, group))


def _led(root: Cause, group: Iterable[Condition]) -> list[Condition]:
    """Put the root before the others, which are marked as its own."""
    marked = [c if _cause(c) == root else replace(c, because_of=root) for c in group]
    return sorted(marked, key=lambda c: c.because_of is not None)


def _blamed(
    condition: Condition,
    heartbeat: HeartbeatHealth,
    sessions: Mapping[str, SessionHealth],
    *,
    is_skewed: bool,
) -> Cause:
    """Return the condition that explains this one, if it is there; else, this one."""
    match condition.code:
        case Code.HEARTBEAT_STALE:
            lane, failure = "heartbeat", heartbeat.last_failure
        case Code.SESSION_STALE | Code.SESSION_UNCONFIRMED:
            lane = f"{condition.subject}:snapshot"
            failure = sessions[condition.subject].snapshot_failure
        case Code.STREAM_INTERRUPTED:
            lane = f"{condition.subject}:stream"
            failure = sessions[condition.subject].stream_failure
        case _:
            return _cause(condition)
    if failure is None:
        return _cause(condition)
    if failure is Failure.TLS_REFUSED:  # every lane shows the same certificate
        return Cause(code=failure, subject="heartbeat")
    if failure is Failure.CERTIFICATE_DATES and is_skewed:
        return Cause(code=Code.CLOCK_SKEWED, subject="")
    if failure is heartbeat.last_failure and failure in _NO_CONNECTION:
        return Cause(code=Code.HEARTBEAT_STALE, subject="")
    return Cause(code=failure, subject=lane)


def _cause(condition: Condition) -> Cause:
    return Cause(code=condition.code, subject=condition.subject)


def _words(condition: Condition) -> str:
    """Return what the platform said, whichever lane it said it to."""
    session = condition.subject.rpartition(":")[0]
    return condition.message.removeprefix(f"session {session}: ")
