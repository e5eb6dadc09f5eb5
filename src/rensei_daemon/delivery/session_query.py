"""Ask the credential socket which sessions a process may have.

Every process that may connect may ask, so a worker's commands need no more permissions than
the worker. Imports only the standard library, like `credential_reader`.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rensei_daemon.core import credential_frames
from rensei_daemon.core.credential_frames import SessionList, SessionState
from rensei_daemon.delivery.credential_reader import RETRY_SECONDS, connect, refusal
from rensei_daemon.errors import (
    DaemonNotRunningError,
    DeliveryError,
    NotPermittedError,
    RenseiError,
    UsageError,
)

ANSWER_SECONDS = 4.0
"""The time in which a healthy daemon answers."""
SHORTEST_SECONDS = 1.0
"""What an answer is given even if no time is left: most take milliseconds."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024


def query_sessions(
    path: Path, session_id: str | None = None, *, wait_seconds: float
) -> SessionList:
    """Return the sessions of the daemon at `path`, or one of them.

    Waits `wait_seconds` for a daemon that is not running yet or does not answer. Raises
    `DaemonNotRunningError` or `DeliveryError` after that, and `NotPermittedError` at
    once.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        left = max(deadline - time.monotonic(), SHORTEST_SECONDS)
        try:
            return _ask(path, session_id, seconds=min(left, ANSWER_SECONDS))
        except (DaemonNotRunningError, DeliveryError):
            if time.monotonic() + RETRY_SECONDS >= deadline:
                raise
        time.sleep(RETRY_SECONDS)


def _ask(path: Path, session_id: str | None, *, seconds: float) -> SessionList:
    with closing(connect(path, credential_frames.session_query(session_id))) as connection:
        connection.settimeout(seconds)
        try:
            with connection.makefile("rb") as answer:
                line = answer.readline(MAX_ANSWER_BYTES)
        except TimeoutError:
            raise DeliveryError(
                "the daemon runs but does not answer",
                hint="see what holds it: rensei-daemon status",
            ) from None
        except OSError:
            line = b""
    found = credential_frames.read_session_list(line)
    if found is None:
        raise _unanswered(line)
    return found


def _unanswered(line: bytes) -> RenseiError:
    frame = credential_frames.read_frame(line)
    if frame is not None and frame.reason == credential_frames.HELLO_UNREADABLE:
        return UsageError(
            "the running daemon is older than this program: it does not list its sessions",
            hint="restart it: systemctl restart rensei-daemon",
        )
    why = frame.reason if frame is not None else ""
    return DeliveryError(
        f"the daemon does not list its sessions{f': {why}' if why else ''}",
        hint="check the daemon: rensei-daemon status",
    )


def choose_session(found: SessionList, session_id: str | None) -> SessionState:
    """Return the session that is meant: the named one, or the only one.

    Raises `UsageError` if there is none or more than one, and `NotPermittedError` if it
    belongs to another group.
    """
    ids = [session.id for session in found.sessions]
    if session_id is None and len(ids) == 1:
        return found.sessions[0]
    if session_id in ids:
        return found.sessions[ids.index(session_id)]
    if session_id is not None:
        is_refused = session_id in found.refused
        raise refusal(
            session_id,
            credential_frames.NOT_PERMITTED
            if is_refused
            else credential_frames.SESSION_UNKNOWN,
        )
    raise _no_only_one(ids, found.refused)


def _no_only_one(ids: Sequence[str], refused: Sequence[str]) -> RenseiError:
    if ids:
        return UsageError(
            "there is more than one session on this host", hint=f"--session {'|'.join(ids)}"
        )
    if refused:
        return NotPermittedError(
            "you may not have the credentials of any session on this host",
            hint="join a session's group: [[credentials.sessions]] group",
        )
    return UsageError(
        "no session is configured on this host",
        hint="add one: [[credentials.sessions]] in the configuration",
    )
