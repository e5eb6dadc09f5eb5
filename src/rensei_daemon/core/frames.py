"""What is said over the credential socket: lines of JSON, one frame each.

::

    worker ─▶ {"type":"HELLO","sessionId":"…"}           once, first
    daemon ─▶ {"type":"INITIAL","env":{…}}               everything; again when a name went
    daemon ─▶ {"type":"UPDATE","delta":{…},"rotatedAt":"…"}    what changed, no more
    either ─▶ {"type":"BYE","reason":"…"}                the last word

The platform's public client speaks this, so nothing here is ours to change. What it does
not know is passed over by whoever reads, on both sides.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

MAX_HELLO_BYTES = 4096

HELLO_LATE = "no HELLO arrived in time"
HELLO_UNREADABLE = "the first line was not a HELLO"
SESSION_UNKNOWN = "unknown session"
SESSION_REMOVED = "the session was removed"
NOT_PERMITTED = "not permitted"
NOTHING_YET = "no credentials yet"
TOO_SLOW = "too slow"
TOO_MANY = "too many readers"
SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of the daemon's, as a worker reads it."""

    type: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Everything of an INITIAL, what changed of an UPDATE."""
    reason: str = ""
    """Of a BYE."""


def hello(session_id: str) -> bytes:
    """Spell the frame that asks for a session's values."""
    return _line({"type": "HELLO", "sessionId": session_id})


def initial(env: Mapping[str, str]) -> bytes:
    """Spell all of a session's values."""
    return _line({"type": "INITIAL", "env": dict(env)})


def update(delta: Mapping[str, str], rotated_at: datetime) -> bytes:
    """Spell the values that changed."""
    at = rotated_at.astimezone(UTC).isoformat(timespec="milliseconds")
    zulu = at.replace("+00:00", "Z")
    return _line({"type": "UPDATE", "delta": dict(delta), "rotatedAt": zulu})


def bye(reason: str) -> bytes:
    """Spell the last word."""
    return _line({"type": "BYE", "reason": reason})


def _line(frame: Mapping[str, Any]) -> bytes:
    # ASCII alone: a reader may decode a chunk that ends in the middle of a character.
    return json.dumps(frame, separators=(",", ":")).encode("ascii") + b"\n"


def read_hello(line: bytes) -> str | None:
    """Return the session a worker asks for; None when the line is no HELLO."""
    frame = _object(line)
    session_id = frame.get("sessionId")
    if frame.get("type") != "HELLO" or not isinstance(session_id, str):
        return None
    return session_id


def read_frame(line: bytes) -> Frame | None:
    """Read a line of the daemon's; None for one a worker must pass over."""
    frame = _object(line)
    match frame.get("type"):
        case "INITIAL":
            env = _values(frame.get("env"))
            return None if env is None else Frame("INITIAL", env)
        case "UPDATE":
            delta = _values(frame.get("delta"))
            return None if delta is None else Frame("UPDATE", delta)
        case "BYE":
            return Frame("BYE", reason=str(frame.get("reason", "")))
        case _:
            return None


def _object(line: bytes) -> dict[str, Any]:
    try:
        frame = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return frame if isinstance(frame, dict) else {}


def _values(found: object) -> dict[str, str] | None:
    if not isinstance(found, dict):
        return None
    return found if all(isinstance(value, str) for value in found.values()) else None
