"""Which sessions a process may have, asked over the credential socket.

Whoever may connect may ask, so that a worker's commands need no other permission than the
worker itself. Only the standard library, like `reader`.
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
"""In which a daemon that is well has answered."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024


def query_sessions(
    path: Path, session_id: str | None = None, *, wait_seconds: float
) -> SessionList:
    """Return the sessions of the daemon behind the socket at `path`, or that one alone.

    A daemon that is not there yet, or does not answer, is given `wait_seconds`. Raises
    `DaemonNotRunningError` or `DeliveryError` after that, and `NotPermittedError` at once.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return _ask(path, session_id)
        except (DaemonNotRunningError, DeliveryError):
            if time.monotonic() + RETRY_SECONDS >= deadline:
                raise
        time.sleep(RETRY_SECONDS)


def _ask(path: Path, session_id: str | None) -> SessionList:
    with closing(connect(path, credential_frames.session_query(session_id))) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            with connection.makefile("rb") as answer:
                line = answer.readline(MAX_ANSWER_BYTES)
        except OSError:
            line = b""
    found = credential_frames.read_session_list(line)
    if found is None:
        raise _unanswered(line)
    return found


def _unanswered(line: bytes) -> RenseiError:
    said = credential_frames.read_frame(line)
    if said is not None and said.reason == credential_frames.HELLO_UNREADABLE:
        return UsageError(
            "the running daemon is older than this program: it does not list its sessions",
            hint="restart it: systemctl restart rensei-daemon",
        )
    why = said.reason if said is not None else ""
    return DeliveryError(
        f"the daemon does not say which sessions there are{f': {why}' if why else ''}",
        hint="check the daemon: rensei-daemon status",
    )


def choose_session(found: SessionList, session_id: str | None) -> SessionState:
    """Return the session that is meant: the named one, or the only one there is to have.

    Raises `UsageError` where there is none or a choice, `NotPermittedError` where the
    session is another group's.
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
