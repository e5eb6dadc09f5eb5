"""Which condition causes which: fixing the cause clears the others.

A condition says what time has shown: no heartbeat for too long, old data, no stream. The
only evidence of its cause is the last failure of the heartbeat, snapshot or stream behind
it:

- if it was refused, or stopped by a local disk, there is an alarm about that, and the
  condition follows from the alarm;
- if a session finds no connection while the heartbeats find none either, there is one
  cause, and `heartbeat.stale` reports it;
- a certificate that is not valid today follows from a clock that is wrong;
- all requests use one API key: if it is refused in the same words, one condition says so.

Conditions that only coincide stay separate: a stream that a proxy closes is not explained
by heartbeats that get a 503. No condition is omitted, here or in the JSON, and each keeps
its own severity and counts towards the state.
"""

from collections.abc import Iterable, Mapping

from rensei_daemon.core.conditions import Cause, Code, Condition, Severity
from rensei_daemon.core.health import HeartbeatHealth, SessionHealth
from rensei_daemon.errors import Failure
from rensei_daemon.fast_dataclass import replace

_NO_CONNECTION = (Failure.UNREACHABLE, Failure.CERTIFICATE_DATES)
_GRAVITY = {severity: rank for rank, severity in enumerate(Severity)}


def link_causes(
    conditions: Iterable[Condition],
    heartbeat: HeartbeatHealth,
    sessions: Mapping[str, SessionHealth],
) -> tuple[Condition, ...]:
    """Add the cause to each condition, and put what to fix first on top.

    Sorted by severity, then by age; a condition ranks with the most severe of those it
    causes, which follow it directly. Conditions with the same text are reported once.
    """
    ordered = sorted(
        conditions, key=lambda c: (_GRAVITY[c.severity], c.since, c.code, c.subject)
    )
    by_text: dict[tuple[str, str], Condition] = {}
    shown_as = {_cause(c): by_text.setdefault((c.code, c.message), c) for c in ordered}
    refused = {_message(c): c for c in reversed(ordered) if c.code == Code.UNAUTHORIZED}
    is_skewed = any(c.code == Code.CLOCK_SKEWED for c in ordered)
    groups: dict[Cause, list[Condition]] = {}
    for condition in by_text.values():
        blamed = _find_cause(condition, heartbeat, sessions, is_skewed=is_skewed)
        root = shown_as.get(blamed, condition)
        if root.code == Code.UNAUTHORIZED:
            root = refused[_message(root)]
        groups.setdefault(_cause(root), []).append(condition)
    return tuple(c for root, group in groups.items() for c in _group_under(root, group))


def _group_under(root: Cause, group: Iterable[Condition]) -> list[Condition]:
    """Put the root cause first, and mark the others as caused by it."""
    marked = [c if _cause(c) == root else replace(c, because_of=root) for c in group]
    return sorted(marked, key=lambda c: c.because_of is not None)


def _find_cause(
    condition: Condition,
    heartbeat: HeartbeatHealth,
    sessions: Mapping[str, SessionHealth],
    *,
    is_skewed: bool,
) -> Cause:
    """Return the condition that causes this one, if there is one; else this one."""
    match condition.code:
        case Code.HEARTBEAT_STALE:
            source, failure = "heartbeat", heartbeat.last_failure
        case Code.SESSION_STALE | Code.SESSION_UNCONFIRMED:
            source = f"{condition.subject}:snapshot"
            failure = sessions[condition.subject].snapshot_failure
        case Code.STREAM_INTERRUPTED:
            source = f"{condition.subject}:stream"
            failure = sessions[condition.subject].stream_failure
        case _:
            return _cause(condition)
    if failure is None:
        return _cause(condition)
    if failure is Failure.TLS_REFUSED:  # every request uses the same certificate
        return Cause(code=failure, subject="heartbeat")
    if failure is Failure.CERTIFICATE_DATES and is_skewed:
        return Cause(code=Code.CLOCK_SKEWED, subject="")
    if failure is heartbeat.last_failure and failure in _NO_CONNECTION:
        return Cause(code=Code.HEARTBEAT_STALE, subject="")
    return Cause(code=failure, subject=source)


def _cause(condition: Condition) -> Cause:
    return Cause(code=condition.code, subject=condition.subject)


def _message(condition: Condition) -> str:
    """Return the platform's message, whichever request it answered."""
    session = condition.subject.rpartition(":")[0]
    return condition.message.removeprefix(f"session {session}: ")
