"""The protocol of the credential socket: lines of JSON, one frame each.

::

    worker ─▶ {"type":"HELLO","sessionId":"…"}           once, first
    daemon ─▶ {"type":"INITIAL","env":{…}}               all values; again if a name is gone
    daemon ─▶ {"type":"UPDATE","delta":{…},"rotatedAt":"…"}    the changed values
    either ─▶ {"type":"BYE","reason":"…"}                the end

The platform's public client uses this protocol, so it cannot be changed here. Both sides
ignore frames and fields they do not know.

A supervisor (`exec --on-rotate`) says more than that it has read a frame: that the command
was started anew with its values, or sent the signal. It announces so in its HELLO, with
`"acknowledges":true`, and is behind until it has::

    worker ─▶ {"type":"ACK","frame":2}                   the second frame of this connection
    worker ─▶ {"type":"WAIT","seconds":34.5}             it will be, no later: on purpose

Our own commands may send a query instead; its answer ends the connection::

    command ─▶ {"type":"SESSIONS"}                       for one session: "sessionId":"…"
    daemon  ─▶ {"type":"SESSIONS","sessions":[{"id":"…","missing":"…"}],"refused":["…"]}
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rensei_daemon.core.iso_time import iso_time
from rensei_daemon.fast_dataclass import dataclass, field

MAX_HELLO_BYTES = 4096
MAX_MISSING_CHARACTERS = 500
"""Limit of the reason why a session has no values, which may come from the platform."""
MAX_WAIT_SECONDS = 86_400
"""Limit of a wait; longer than that nobody waits on purpose."""

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
    """A line from the daemon, as a worker reads it."""

    type: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """All values of an INITIAL, the changed values of an UPDATE."""
    reason: str = ""
    """Of a BYE."""


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session that the calling process may have."""

    id: str
    missing: str
    """What a worker would read at its start and is missing; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class SessionList:
    """The answer to a session query."""

    sessions: Sequence[SessionState]
    """Those the calling process may have, by id."""
    refused: Sequence[str]
    """The ids of the others."""


def hello(session_id: str, *, acknowledges: bool = False) -> bytes:
    """Return the frame that asks for a session's values.

    `acknowledges`: frames with values will be acknowledged.
    """
    more = {"acknowledges": True} if acknowledges else {}
    return _line({"type": "HELLO", "sessionId": session_id, **more})


def acknowledgement(frame: int) -> bytes:
    """Return the frame that says that a frame's values are in use, and so all before it.

    `frame` counts INITIAL and UPDATE frames of the connection, from 1.
    """
    return _line({"type": "ACK", "frame": frame})


def waiting(seconds: float) -> bytes:
    """Return the frame that says how long the newest values wait before they are used."""
    return _line({"type": "WAIT", "seconds": round(seconds, 3)})


def initial(env: Mapping[str, str]) -> bytes:
    """Return the frame with all values of a session."""
    return _line({"type": "INITIAL", "env": dict(env)})


def update(delta: Mapping[str, str], rotated_at: datetime) -> bytes:
    """Return the frame with the changed values."""
    at = iso_time(rotated_at)
    return _line({"type": "UPDATE", "delta": dict(delta), "rotatedAt": at})


def bye(reason: str) -> bytes:
    """Return the last frame of a connection."""
    return _line({"type": "BYE", "reason": reason})


def session_query(session_id: str | None = None) -> bytes:
    """Return the frame that asks which sessions the calling process may have."""
    named = {} if session_id is None else {"sessionId": session_id}
    return _line({"type": "SESSIONS", **named})


def session_list(answer: SessionList) -> bytes:
    """Return the frame that answers a session query."""
    sessions = [
        {"id": one.id, "missing": one.missing[:MAX_MISSING_CHARACTERS]}
        for one in answer.sessions
    ]
    refused = list(answer.refused)
    return _line({"type": "SESSIONS", "sessions": sessions, "refused": refused})


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _line(frame: Mapping[str, Any]) -> bytes:
    # ASCII only: a reader may decode a chunk that ends within a character.
    return _encode(frame).encode("ascii") + b"\n"


def read_hello(line: bytes) -> str | None:
    """Return the session a worker asks for; None if the line is not a HELLO."""
    frame = _object(line)
    session_id = frame.get("sessionId")
    if frame.get("type") != "HELLO" or not isinstance(session_id, str):
        return None
    return session_id


def announces_acknowledgements(hello: bytes) -> bool:
    """Whether the worker will acknowledge frames with values."""
    return _object(hello).get("acknowledges") is True


def read_acknowledgement(line: bytes) -> int | None:
    """Return which frame of the connection is acknowledged; None if the line is none."""
    frame = _object(line)
    number = frame.get("frame")
    return number if frame.get("type") == "ACK" and type(number) is int else None


def read_waiting(line: bytes) -> float | None:
    """Return how many seconds the newest values wait; None if the line does not say."""
    frame = _object(line)
    seconds = frame.get("seconds")
    if frame.get("type") != "WAIT" or isinstance(seconds, bool):
        return None
    if not isinstance(seconds, int | float):
        return None
    return float(seconds) if 0 < seconds <= MAX_WAIT_SECONDS else None


def is_session_query(line: bytes) -> bool:
    """Whether the line is a session query."""
    return _object(line).get("type") == "SESSIONS"


def read_session_query(line: bytes) -> str | None:
    """Return the session that a query is about; None for all sessions."""
    session_id = _object(line).get("sessionId")
    return session_id if isinstance(session_id, str) else None


def read_session_list(line: bytes) -> SessionList | None:
    """Return the answer to a session query; None if the line is not one."""
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
    """Return a frame from the daemon; None for one that a worker must ignore."""
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
