"""What is said over the credential socket: lines of JSON, one frame each.

::

    worker ─▶ {"type":"HELLO","sessionId":"…"}           once, first
    daemon ─▶ {"type":"INITIAL","env":{…}}               everything; again when a name went
    daemon ─▶ {"type":"UPDATE","delta":{…},"rotatedAt":"…"}    what changed, no more
    either ─▶ {"type":"BYE","reason":"…"}                the last word

The platform's public client speaks this, so nothing here is ours to change. What it does
not know is passed over by whoever reads, on both sides.

Our own commands may ask a question instead, which has one answer and ends the connection::

    command ─▶ {"type":"SESSIONS"}                       or, of one: "sessionId":"…"
    daemon  ─▶ {"type":"SESSIONS","sessions":[{"id":"…","missing":"…"}],"refused":["…"]}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

MAX_HELLO_BYTES = 4096
MAX_MISSING_CHARACTERS = 500
"""Of the reason why a session has nothing yet: it may come from the platform."""

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


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session that the asking process may have."""

    id: str
    missing: str
    """What a worker would read at its start and is not there yet; empty: all is there."""


@dataclass(frozen=True, slots=True)
class SessionList:
    """The answer to the question which sessions there are."""

    sessions: Sequence[SessionState]
    """Those the asking process may have, by id."""
    refused: Sequence[str]
    """The ids of the others."""


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


def session_query(session_id: str | None = None) -> bytes:
    """Spell the question which sessions the asking process may have, or whether this."""
    named = {} if session_id is None else {"sessionId": session_id}
    return _line({"type": "SESSIONS", **named})


def session_list(answer: SessionList) -> bytes:
    """Spell the answer to that question."""
    sessions = [
        {"id": one.id, "missing": one.missing[:MAX_MISSING_CHARACTERS]}
        for one in answer.sessions
    ]
    refused = list(answer.refused)
    return _line({"type": "SESSIONS", "sessions": sessions, "refused": refused})


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


def is_session_query(line: bytes) -> bool:
    """Whether a command asks which sessions there are."""
    return _object(line).get("type") == "SESSIONS"


def read_session_query(line: bytes) -> str | None:
    """Return the one session that a question is about; None: it is about all."""
    session_id = _object(line).get("sessionId")
    return session_id if isinstance(session_id, str) else None


def read_session_list(line: bytes) -> SessionList | None:
    """Read the answer to our question; None when the line is none."""
    frame = _object(line)
    found, refused = frame.get("sessions"), _texts(frame.get("refused"))
    if frame.get("type") != "SESSIONS" or not isinstance(found, list) or refused is None:
        return None
    sessions = [_session_state(one) for one in found]
    if None in sessions:
        return None
    return SessionList([one for one in sessions if one is not None], refused)


def _session_state(found: object) -> SessionState | None:
    texts = _values(found) or {}
    if not {"id", "missing"} <= texts.keys():
        return None
    return SessionState(texts["id"], texts["missing"])


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


def _texts(found: object) -> list[str] | None:
    if not isinstance(found, list):
        return None
    return found if all(isinstance(text, str) for text in found) else None


def _values(found: object) -> dict[str, str] | None:
    if not isinstance(found, dict):
        return None
    return found if all(isinstance(value, str) for value in found.values()) else None
